package app

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"reveille/usrloc"
)

// A visitor of the console, who keeps cookies.
type visitor struct {
	*rig
	client *http.Client
}

func (r *rig) visitor() *visitor {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return &visitor{r, &http.Client{Jar: jar}}
}

func (v *visitor) url(path string) string { return "http://" + v.HTTPAddr().String() + path }

// page is what is shown after a request, redirections followed.
func (v *visitor) page(resp *http.Response, err error) string {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return string(body)
}

func (v *visitor) get(path string) string {
	v.t.Helper()
	return v.page(v.client.Get(v.url(path)))
}

func (v *visitor) post(path string, form url.Values) string {
	v.t.Helper()
	return v.page(v.client.PostForm(v.url(path), form))
}

const consoleTokens = `http: {addr: "127.0.0.1:0", tokens: [{name: night-shift, role: operate, token: a-token-of-the-night-shift}, {name: erin, role: admin, token: a-token-of-erin-who-is-admin}]}`

// An operator sees a phone that sleeps, wakes it, and ends its registration; an admin
// sees that in the audit log, and the configuration.
func TestConsole(t *testing.T) {
	r := newRig(t, consoleTokens)
	r.sleeper("alice", "tcp", "alice-token")
	v := r.visitor()
	if page := v.get("/console/"); !strings.Contains(page, "Log in") || strings.Contains(page, "Overview") {
		t.Fatalf("outside: %.500s", page)
	}
	if page := v.post("/console/login", url.Values{"token": {"a-token-of-the-night-shift"}}); !strings.Contains(page, "Registered phones") {
		t.Fatalf("the overview: %.2000s", page)
	}
	page := v.get("/console/search?q=alice@example.com")
	for _, want := range []string{"<h1>alice@example.com</h1>", "asleep", "FCM", "Wake now"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of alice lacks %q", want)
		}
	}
	if strings.Contains(page, "alice-token") {
		t.Error("the page of alice shows the push token")
	}
	for _, path := range []string{"waiting", "calls", "users", "services", "events", "bans", "audit", "calls?aor=nobody@elsewhere.example"} {
		if page := v.get("/console/" + path); !strings.Contains(page, "</html>") || strings.Contains(page, "Not available") {
			t.Errorf("%s: %.2000s", path, page)
		}
	}
	if page := v.get("/console/configuration"); !strings.Contains(page, "Not allowed") {
		t.Errorf("the configuration for an operator: %.500s", page)
	}
	form := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page)[1]
	rec, err := r.store.Get(t.Context(), usrloc.AOR("sip:alice@example.com"))
	if err != nil || len(rec.Bindings) != 1 {
		t.Fatalf("alice has %d registrations, %v", len(rec.Bindings), err)
	}
	id := rec.Bindings[0].ID.String()
	if page := v.post("/console/drop", url.Values{"form": {form}, "binding": {id}, "aor": {"alice@example.com"}}); !strings.Contains(page, "The registration is gone.") {
		t.Errorf("drop: %.2000s", page)
	}
	if rec, err := r.store.Get(t.Context(), usrloc.AOR("sip:alice@example.com")); err != nil || len(rec.Bindings) > 0 {
		t.Errorf("%d registrations are left, %v", len(rec.Bindings), err)
	}
	admin := r.visitor()
	admin.post("/console/login", url.Values{"token": {"a-token-of-erin-who-is-admin"}})
	if page := admin.get("/console/audit"); !strings.Contains(page, "night-shift") || !strings.Contains(page, "remove-binding") {
		t.Errorf("the audit log: %.2000s", page)
	}
	if page := admin.get("/console/events?type=binding"); !strings.Contains(page, "binding.removed") {
		t.Errorf("the events: %.2000s", page)
	}
	if page := admin.get("/console/configuration"); !strings.Contains(page, "example.com") || strings.Contains(page, "a-token-of") {
		t.Error("the configuration is not shown, or a token in it")
	}
}

func TestConsole_Off(t *testing.T) {
	r := newRig(t, strings.Replace(consoleTokens, "tokens:", "console: false, tokens:", 1))
	resp, err := http.Get("http://" + r.HTTPAddr().String() + "/console/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("the console is off: %d", resp.StatusCode)
	}
}
