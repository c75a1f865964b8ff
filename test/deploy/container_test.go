package deploy

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"reveille/configs"
	"reveille/push/pushsim"
)

// ending is how long the server may take from SIGTERM on: stop.drain, and what
// cmd/reveille adds to it.
func ending() time.Duration { return configs.Default().Stop.Drain + 15*time.Second }

// TestDockerfile: nothing but the program, run by nobody in particular.
func TestDockerfile(t *testing.T) {
	var last []string // instructions of the last stage, which is the server's
	for line := range strings.SplitSeq(read(t, "deploy/docker/Dockerfile"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "FROM ") {
			last = nil
			if !strings.HasPrefix(line, "FROM scratch AS ") {
				t.Errorf("%s: brings what is not ours", line)
			}
		}
		last = append(last, line)
	}
	for _, want := range []string{
		"FROM scratch AS reveille", "COPY reveille /reveille", "USER 65532:65532", "STOPSIGNAL SIGTERM",
		`ENTRYPOINT ["/reveille"]`, `CMD ["serve", "--config", "/etc/reveille/reveille.yaml"]`, "VOLUME /var/lib/reveille",
	} {
		if !slices.Contains(last, want) {
			t.Errorf("the server's stage has no %q", want)
		}
	}
}

// A service is one of compose.yaml. Other keys would be typing errors.
type service struct {
	Build       struct{ Context, Target string }
	Command     []string
	Ports       []string
	Volumes     []string
	NetworkMode string   `yaml:"network_mode"`
	DependsOn   []string `yaml:"depends_on"`
	Restart     string
	Grace       time.Duration `yaml:"stop_grace_period"`
	ReadOnly    bool          `yaml:"read_only"`
	CapDrop     []string      `yaml:"cap_drop"`
	SecurityOpt []string      `yaml:"security_opt"`
}

// TestCompose: both services are built, have no rights, and fit together.
func TestCompose(t *testing.T) {
	var c struct {
		Name     string
		Services map[string]service
		Volumes  map[string]any
	}
	decode(t, "deploy/docker/compose.yaml", &c)
	dockerfile := read(t, "deploy/docker/Dockerfile")
	for name, s := range c.Services {
		if !strings.Contains(dockerfile, "\nFROM scratch AS "+s.Build.Target+"\n") {
			t.Errorf("%s: there is no stage %q", name, s.Build.Target)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.SecurityOpt) != 1 {
			t.Errorf("%s has rights that it does not need", name)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, "./") {
				if _, err := os.Stat(filepath.Join(root, "deploy/docker", from)); err != nil {
					t.Error(err)
				}
			} else if _, ok := c.Volumes[from]; !ok {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
	}
	server, sim := c.Services["reveille"], c.Services["pnsim"]
	if server.Grace <= ending() {
		t.Errorf("killed after %s, and may take %s", server.Grace, ending())
	}
	if server.NetworkMode != "service:pnsim" || !slices.Contains(server.DependsOn, "pnsim") {
		t.Error("the server does not share the network of the push services")
	}
	text := strings.ReplaceAll(read(t, "deploy/docker/reveille.yaml"), "/credentials", pretended(t))
	cfg, _, err := configs.Parse("deploy/docker/reveille.yaml", []byte(text), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	// Others reach what the server and the page listen on.
	for _, l := range cfg.Listen {
		if want := l.Advertise + ":5060/" + string(l.Transport); !slices.Contains(sim.Ports, want) {
			t.Errorf("the port of %s is not published as %s", l.Name, want)
		}
	}
	if len(cfg.Push.Apps) != 3 {
		t.Errorf("%d apps", len(cfg.Push.Apps))
	}
}

// pretended returns a folder with what pnsim writes into its own.
func pretended(t *testing.T) (dir string) {
	t.Helper()
	sim, err := pushsim.Start(pushsim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	dir = t.TempDir()
	for name, content := range map[string][]byte{
		"ca.pem": sim.Credentials().CAPEM(), "AuthKey_" + pushsim.KeyID + ".p8": sim.Credentials().KeyP8(),
		"service-account.json": sim.ServiceAccountJSON(), "vapid.pem": sim.Credentials().VAPIDKeyPEM(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A manifest is one object of Kubernetes, as far as these tests look at it.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Ports       []port
		ServiceName string `yaml:"serviceName"`
		Replicas    int
		Template    struct{ Spec pod }
		Claims      []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type port struct {
	Name, Protocol string
	Port           int
	TargetPort     string `yaml:"targetPort"`
	ContainerPort  int    `yaml:"containerPort"`
}

type pod struct {
	Grace    int `yaml:"terminationGracePeriodSeconds"`
	Security struct {
		NonRoot bool `yaml:"runAsNonRoot"`
		User    int  `yaml:"runAsUser"`
	} `yaml:"securityContext"`
	Containers []struct {
		Ports     []port
		Startup   probe `yaml:"startupProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Readiness probe `yaml:"readinessProbe"`
		Lifecycle struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
		Security struct {
			Escalation   bool `yaml:"allowPrivilegeEscalation"`
			ReadOnly     bool `yaml:"readOnlyRootFilesystem"`
			Capabilities struct{ Drop []string }
		} `yaml:"securityContext"`
		Mounts []struct {
			Name string
			Path string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct{ Name string }
}

type probe struct {
	HTTP struct{ Path, Port string } `yaml:"httpGet"`
}

func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	all := map[string]manifest{}
	d := yaml.NewDecoder(strings.NewReader(read(t, "deploy/kubernetes/reveille.yaml")))
	for {
		var m manifest
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[m.Kind+"/"+m.Metadata.Name] = m
	}
}

// TestKubernetes: ports, paths and times are those of the server.
func TestKubernetes(t *testing.T) {
	all := manifests(t)
	set := all["StatefulSet/reveille"]
	p := set.Spec.Template.Spec
	if len(p.Containers) != 1 || set.Spec.Replicas != 1 {
		t.Fatalf("%d containers, %d replicas", len(p.Containers), set.Spec.Replicas)
	}
	c := p.Containers[0]
	if grace := time.Duration(p.Grace) * time.Second; grace <= ending()+time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second {
		t.Errorf("killed after %s, and may take %s after %d s", grace, ending(), c.Lifecycle.PreStop.Sleep.Seconds)
	}
	for name, want := range map[string]string{c.Startup.HTTP.Path: "/healthz", c.Liveness.HTTP.Path: "/healthz", c.Readiness.HTTP.Path: "/readyz"} {
		if name != want {
			t.Errorf("a probe asks for %q, want %q", name, want)
		}
	}
	user := regexp.MustCompile(`(?m)^USER (\d+)`).FindStringSubmatch(read(t, "deploy/docker/Dockerfile"))
	if !p.Security.NonRoot || len(user) != 2 || user[1] != "65532" || p.Security.User != 65532 {
		t.Errorf("runs as %d, the image as %q", p.Security.User, user)
	}
	if c.Security.Escalation || !c.Security.ReadOnly || !slices.Equal(c.Security.Capabilities.Drop, []string{"ALL"}) {
		t.Error("the container has rights that it does not need")
	}
	names := []string{}
	for _, v := range p.Volumes {
		names = append(names, v.Name)
	}
	for _, v := range set.Spec.Claims {
		names = append(names, v.Metadata.Name)
	}
	dir, paths := t.TempDir(), map[string]bool{}
	for _, m := range c.Mounts {
		paths[m.Path] = true
		if !slices.Contains(names, m.Name) {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	// The configuration is good, where its files lie beside it.
	text := all["ConfigMap/reveille"].Data["reveille.yaml"]
	if !strings.Contains(text, "/etc/reveille-secret/users.yaml") || !paths["/etc/reveille-secret"] {
		t.Error("the accounts are not where the configuration looks for them")
	}
	for name, text := range map[string]string{"reveille.yaml": strings.ReplaceAll(text, "/etc/reveille-secret", dir), "users.yaml": all["Secret/reveille"].StringData["users.yaml"]} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := configs.Load(filepath.Join(dir, "reveille.yaml"), configs.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if !paths[string(cfg.Store.Dir)] {
		t.Errorf("store.dir %s is no volume", cfg.Store.Dir)
	}
	// Each port of a Service leads to one of the container.
	for _, name := range []string{"Service/reveille", "Service/" + set.Spec.ServiceName} {
		if len(all[name].Spec.Ports) == 0 {
			t.Errorf("%s has no ports", name)
		}
		for _, from := range all[name].Spec.Ports {
			if !slices.ContainsFunc(c.Ports, func(to port) bool {
				return to.Name == from.TargetPort && to.Protocol == from.Protocol && to.ContainerPort == from.Port
			}) {
				t.Errorf("%s: port %s leads nowhere", name, from.Name)
			}
		}
	}
}
