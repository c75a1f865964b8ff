package app

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reveille/configs"
	"reveille/internal/console"
	"reveille/internal/signon/signontest"
)

// signOnYAML configures the console for a provider; roles is a YAML map. The server's
// port is not known beforehand: the test plays the name that leads there.
func signOnYAML(p *signontest.Provider, roles string) string {
	return fmt.Sprintf(`http: {addr: "127.0.0.1:0", audit: audit.log, oidc: {issuer: %q, client_id: %s, client_secret: %q, redirect_url: %q, roles: %s}}`,
		p.Issuer(), signontest.ClientID, signontest.ClientSecret, signOnURL, roles)
}

const signOnURL = "http://127.0.0.1:8080" + console.CallbackPath

// signIn logs in at the provider and returns the page that the server answers with.
func (v *visitor) signIn() string {
	v.t.Helper()
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { v.client.CheckRedirect = nil }()
	at := v.url("/console/login/sso")
	for range 2 {
		resp, err := v.client.Get(at)
		if err != nil {
			v.t.Fatal(err)
		}
		resp.Body.Close()
		if at = resp.Header.Get("Location"); at == "" {
			v.t.Fatalf("%s: %s", resp.Request.URL, resp.Status)
		}
	}
	_, query, ok := strings.Cut(at, signOnURL+"?")
	if !ok {
		v.t.Fatalf("the provider sends to %s", at)
	}
	return v.get(console.CallbackPath + "?" + query)
}

// Somebody whom the provider knows wakes a phone; the audit log has the name. A reload
// takes away what it takes away, and the secret is shown to nobody.
func TestSignOn(t *testing.T) {
	p := signontest.New(t, signOnURL)
	p.SetDown(true) // The server starts all the same.
	r := newRig(t, signOnYAML(p, `{admin: [voice-admins]}`))
	r.sleeper("alice", "tcp", "alice-token")
	v := r.visitor()
	resp, err := v.client.Get(v.url("/console/login/sso"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the provider is down: %s", resp.Status)
	}
	p.SetDown(false)
	r.reload(signOnYAML(p, `{admin: [voice-admins]}`)) // It need not wait until the provider is asked again.
	if page := v.signIn(); !strings.Contains(page, "You are logged in.") {
		t.Fatalf("log in: %.2000s", page)
	}
	page := v.get("/console/configuration")
	if !strings.Contains(page, "<strong>erin</strong>") || !strings.Contains(page, "role_claim") || strings.Contains(page, "the secret of the console") {
		t.Errorf("the configuration: %.3000s", page)
	}
	form := regexp.MustCompile(`name="form" value="([^"]+)"`).FindStringSubmatch(page)[1]
	v.post("/console/push", url.Values{"form": {form}, "aor": {"alice@example.com"}, "kind": {"call"}})
	line, err := os.ReadFile(filepath.Join(r.dir, "audit.log"))
	if err != nil || !strings.Contains(string(line), `"who":"erin"`) || !strings.Contains(string(line), `"kind":"oidc"`) {
		t.Errorf("the audit log: %s, %v", line, err)
	}
	r.reload(signOnYAML(p, `{read: [voice-admins]}`))
	if page := v.get("/console/configuration"); !strings.Contains(page, "Not allowed") {
		t.Errorf("with the role read: %.500s", page)
	}
	r.reload(signOnYAML(p, `{read: [somebody-else]}`))
	if page := v.get("/console/"); !strings.Contains(page, "Log in") || strings.Contains(page, "Overview") {
		t.Errorf("without a role: %.500s", page)
	}
	if page := v.signIn(); !strings.Contains(page, "You are erin, and have no role here") {
		t.Errorf("log in without a role: %.2000s", page)
	}
	// A provider opens the console, and nothing else.
	resp, err = v.client.Get(v.url("/v1/status"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the API by the session of the console: %s", resp.Status)
	}
}

// A login that cannot be configured stops a reload before it changes anything.
func TestSignOn_ReloadFails(t *testing.T) {
	p := signontest.New(t, signOnURL)
	r := newRig(t)
	cfg := r.config()
	cfg.HTTP.OIDC = configs.HTTPOIDC{Issuer: p.Issuer(), ClientID: "c", RedirectURL: signOnURL, NameClaim: "n", RoleClaim: "g", CAFile: "/nonexistent"}
	before := r.signOn.Load()
	if err := r.Reload(cfg); err == nil || !strings.Contains(err.Error(), "http.oidc.ca_file") {
		t.Errorf("Reload = %v", err)
	}
	if r.signOn.Load() != before {
		t.Error("something has changed")
	}
}
