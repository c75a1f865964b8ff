package app

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reveille/internal/event"
	"reveille/internal/tlscert/certtest"
)

// An operator asks the admin API on the address.
type operator struct {
	*http.Client
	rig           *rig
	scheme, token string
}

// by returns an operator who has a certificate, and believes the authority a.
func (r *rig) by(a *certtest.Authority, cert ...tls.Certificate) operator {
	return operator{&http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: a.Pool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			// Also where the server asks for those of others.
			return &append(cert, tls.Certificate{})[0], nil
		}},
	}}, r, "https", ""}
}

func (o operator) do(method, path, body string) (status int, answer string) {
	t := o.rig.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, o.scheme+"://"+o.rig.HTTPAddr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if o.token != "" {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := o.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestAdmin_TokensAndCertificates: http.addr lets in whom the configuration names,
// and a reload changes who that is, and what the server shows.
func TestAdmin_TokensAndCertificates(t *testing.T) {
	a, strangers := certtest.New(t), certtest.New(t)
	dir := t.TempDir()
	certtest.Write(t, dir, "http", a.Issue("127.0.0.1"))
	certtest.WriteFile(t, filepath.Join(dir, "ca.pem"), a.PEM())
	web := func(more string) string {
		return strings.ReplaceAll(`http: {addr: "127.0.0.1:0", tls: {cert_file: DIR/http.pem, key_file: DIR/http.key, client_ca_file: DIR/ca.pem}, `+
			`certificates: [{name: ops.example.com, role: admin}, {name: watch, role: read}]`+more+`}`, "DIR", dir)
	}
	r := newRig(t, openYAML, web(", tokens: [{name: helpdesk, role: operate, token: token-of-the-helpdesk}]"))
	named := certtest.Template(t)
	named.Subject = pkix.Name{CommonName: "watch"}
	helpdesk := r.by(a)
	helpdesk.token = "token-of-the-helpdesk"
	tests := []struct {
		name   string
		who    operator
		get    int // /v1/bans, which takes read
		lift   int // DELETE /v1/bans, which takes operate
		reason string
	}{
		{"token", helpdesk, 200, 404, "is not banned"},
		{"certificate by its alternative name", r.by(a, a.Issue("x.example.com", "ops.example.com")), 200, 404, "is not banned"},
		{"certificate by its common name", r.by(a, a.IssueWith(named)), 200, 403, "takes the role operate"},
		{"certificate of nobody", r.by(a, a.Issue("alice.example.com")), 401, 401, "is nobody's here"},
		{"nothing", r.by(a), 401, 401, "takes a token"},
	}
	for _, tt := range tests {
		if status, answer := tt.who.do("GET", "/v1/bans", ""); status != tt.get {
			t.Errorf("%s: GET = %d %s, want %d", tt.name, status, answer, tt.get)
		}
		if status, answer := tt.who.do("DELETE", "/v1/bans?source=192.0.2.1", ""); status != tt.lift || !strings.Contains(answer, tt.reason) {
			t.Errorf("%s: DELETE = %d %s, want %d", tt.name, status, answer, tt.lift)
		}
	}
	// What another authority signed is not even read.
	other := r.by(a, strangers.Issue("ops.example.com"))
	if resp, err := other.Get("https://" + r.HTTPAddr().String() + "/healthz"); err == nil {
		resp.Body.Close()
		t.Errorf("a certificate of another authority is taken: %d", resp.StatusCode)
	}
	// A reload: another token, and a renewed certificate.
	certtest.Write(t, dir, "http", a.Issue("127.0.0.1", "renewed.example.com"))
	if err := r.Reload(r.config(openYAML, web(", tokens: [{name: helpdesk, role: read, token: next-token-of-the-helpdesk}]"))); err != nil {
		t.Fatal(err)
	}
	if status, _ := helpdesk.do("GET", "/v1/bans", ""); status != 401 {
		t.Errorf("the token from before: %d", status)
	}
	helpdesk.token = "next-token-of-the-helpdesk"
	if status, _ := helpdesk.do("GET", "/v1/bans", ""); status != 200 {
		t.Errorf("the token that replaced it: %d", status)
	}
	resp, err := helpdesk.Get("https://" + r.HTTPAddr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if names := resp.TLS.PeerCertificates[0].DNSNames; len(names) != 1 || names[0] != "renewed.example.com" {
		t.Errorf("the certificate shown is for %q", names)
	}
}

// TestAdmin_Audit: every change is told: as an event, in the log and in a file that
// may be moved away; and never with a token.
func TestAdmin_Audit(t *testing.T) {
	const canary = "canary-of-a-push-token"
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.log")
	var logged lockedBuffer
	web := `http: {addr: "127.0.0.1:0", audit: ` + file + `, tokens: [{name: helpdesk, role: operate, token: token-of-the-helpdesk}, {name: reader, token: token-of-the-reader}]}`
	r := newRigWith(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&logged, nil)) }, openYAML, web)
	helpdesk := operator{&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, r, "http", "token-of-the-helpdesk"}
	reader := helpdesk
	reader.token = "token-of-the-reader"
	reader.do("DELETE", "/v1/bans?source=192.0.2.1", "")
	reader.do("GET", "/v1/bans", "")
	helpdesk.do("DELETE", "/v1/bans?source=192.0.2.1", "")
	helpdesk.do("POST", "/v1/push", `{"provider":"fcm","param":"x","prid":"`+canary+`","kind":"call"}`)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(r.App.config); err != nil {
		t.Fatal(err)
	}
	helpdesk.do("POST", "/v1/wake", `{"aor":"alice@example.com","kind":"refresh"}`)
	first, second := auditLines(t, file+".1"), auditLines(t, file)
	if len(first) != 3 || len(second) != 1 {
		t.Fatalf("%d and %d lines, want 3 and 1: %v %v", len(first), len(second), first, second)
	}
	for i, want := range []event.AdminChangeData{
		{Who: "reader", Role: "read", Operation: "lift-ban", Status: 403},
		{Who: "helpdesk", Role: "operate", Operation: "lift-ban", Target: "192.0.2.1", Status: 404},
		{Who: "helpdesk", Role: "operate", Operation: "test-push", Target: "a token of fcm", Status: 200},
		{Who: "helpdesk", Role: "operate", Operation: "wake", Target: "alice@example.com", Status: 404},
	} {
		got := append(first, second...)[i]
		if got.Remote == "" || got.Kind != "token" || (got.Problem == "") != (got.Status == 200) {
			t.Errorf("line %d: %+v", i, got)
		}
		got.Remote, got.Kind, got.Problem = "", "", ""
		if got != want {
			t.Errorf("line %d: %+v, want %+v", i, got, want)
		}
	}
	text := logged.String()
	if !strings.Contains(text, "admin change") || strings.Contains(text, canary) || strings.Contains(text, "token-of-the") {
		t.Errorf("the log lacks changes, or tells a token: %s", text)
	}
	for _, name := range []string{file, file + ".1"} {
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte(canary)) {
			t.Errorf("%s tells a token, or %v", name, err)
		}
	}
}

func auditLines(t *testing.T, file string) (list []event.AdminChangeData) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e event.Envelope
		var d event.AdminChangeData
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Type != "admin.change" || e.ID == "" || e.Time.IsZero() {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		list = append(list, d)
	}
	return list
}
