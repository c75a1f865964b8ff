package app

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// rings sends a MESSAGE to uri and reports whether the phone gets it, which then
// answers.
func (r *rig) rings(phone *wire, uri string) bool {
	r.t.Helper()
	caller := r.dial("udp")
	request := caller.request("MESSAGE", uri, "To: <"+uri+">")
	caller.send(request)
	var m *sipmsg.Message
	// An earlier one comes again if its answer took half a second.
	for m == nil || !strings.Contains(request, "\r\nCall-ID: "+m.CallID()+"\r\n") {
		var err error
		if m, err = sipmsg.Parse([]byte(phone.read()), netip.AddrPort{}); err != nil || m.Method() != "MESSAGE" {
			return false
		}
	}
	phone.send(string(m.AppendReply(nil, sipmsg.Reply{Code: 200, ToTag: "t"})))
	caller.expect(200)
	return true
}

// A user is found by every name of the domain, under which the phone registered
// or not.
func TestDomains_AliasesPrefixesAndCase(t *testing.T) {
	r := newRig(t, openYAML, `domain_aliases: [{alias: example.net, domain: example.com}]`, `strip_prefixes: ["sip."]`, `registrar: {aor: {case_sensitive: false}}`)
	w := r.dial("udp")
	for i, to := range []string{"Alice@sip.example.net", "alice@example.com", "ALICE@Sip.Example.COM"} {
		w.send(w.request("REGISTER", "sip:"+to[strings.IndexByte(to, '@')+1:], "To: <sip:"+to+">", "Call-ID: one", "CSeq: "+string(rune('1'+i))+" REGISTER"))
		if got := w.read(); !strings.HasPrefix(got, "SIP/2.0 200 ") || strings.Count(got, "\nContact: ") != 1 {
			t.Fatalf("REGISTER of %s: answer\n%s", to, got)
		}
	}
	rec, err := r.Store().Get(t.Context(), "sip:alice@example.com")
	if err != nil || len(rec.Bindings) != 1 || rec.Bindings[0].CSeq != 3 {
		t.Fatalf("Get = %+v, %v", rec, err)
	}
	for _, uri := range []string{"sip:alice@example.com", "sip:Alice@EXAMPLE.net", "sip:aLICE@sip.example.com"} {
		if !r.rings(w, uri) {
			t.Errorf("%s does not ring", uri)
		}
	}
	w.send(w.request("REGISTER", "sip:elsewhere.test", "To: <sip:alice@sip.elsewhere.test>"))
	if got := w.read(); strings.HasPrefix(got, "SIP/2.0 200 ") {
		t.Errorf("another domain: answer\n%s", got)
	}
}

// What a phone learned as its GRUUs leads to it, also over a restart (RFC 5627
// §5.1, §6.1).
func TestGRUU_SurvivesARestart_RFC5627_5_4(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	r := newRig(t, openYAML, storeYAML(dir))
	w := r.dial("udp")
	w.send(w.request("REGISTER", "sip:example.com", "Supported: gruu, outbound",
		"Contact: <sip:alice@"+w.conn.LocalAddr().String()+`>;+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>";reg-id=1`))
	answer := w.read()
	value := func(name string) string {
		_, rest, _ := strings.Cut(answer, ";"+name+`="`)
		v, _, _ := strings.Cut(rest, `"`)
		return v
	}
	public, temporary := value("pub-gruu"), value("temp-gruu")
	if public != "sip:alice@example.com;gr=urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6" || !strings.HasSuffix(temporary, "@example.com;gr") {
		t.Fatalf("GRUUs %q and %q in\n%s", public, temporary, answer)
	}
	if !strings.Contains(answer, "\r\nRequire: outbound\r\n") {
		t.Errorf("no Require in\n%s", answer)
	}
	for _, gruu := range []string{public, temporary} {
		if !r.rings(w, gruu) {
			t.Errorf("%s does not ring", gruu)
		}
	}
	// The same address again, for the phone hears nobody else.
	again := fmt.Sprintf(`listen: [{name: udp, transport: udp, addr: %q}, {name: tcp, transport: tcp, addr: "127.0.0.1:0"}]`, r.Addr("udp"))
	if err := r.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r = newRig(t, openYAML, storeYAML(dir), again)
	for _, gruu := range []string{public, temporary} {
		if !r.rings(w, gruu) {
			t.Errorf("after a restart %s does not ring", gruu)
		}
	}
}

// Two domains may have realms of their own; then alice of the one is nobody in the
// other, with the same name and even the same password.
func TestDomains_Realms_RFC3261_22_1(t *testing.T) {
	r := newRig(t, `domains: [example.com, example.net, example.org]`, `auth:
  mode: {registrar: required, proxy: required}
  realms: [{domain: Example.net, realm: net}]
  users: [{name: alice, password: secret}, {name: alice, realm: net, password: secret}, {name: bob, realm: net, password: secret}]
`)
	w := r.dial("udp")
	for domain, realm := range map[string]string{"example.com": "example.com", "example.net": "net", "example.org": "example.com"} {
		w.send(w.request("REGISTER", "sip:"+domain, "To: <sip:alice@"+domain+">", "From: <sip:alice@"+domain+">;tag=f"))
		if challenge := w.read(); !strings.HasPrefix(challenge, "SIP/2.0 401 ") || !strings.Contains(challenge, `realm="`+realm+`"`) {
			t.Errorf("%s challenges with\n%s", domain, challenge)
		}
	}
	rules := r.gate.rules.Load()
	for _, tt := range []struct {
		realm string
		aor   usrloc.AOR
		may   bool
	}{
		{"example.com", "sip:alice@example.com", true},
		{"example.com", "sip:alice@example.org", true},
		{"example.com", "sip:alice@example.net", false},
		{"net", "sip:alice@example.net", true},
		{"net", "sip:alice@example.com", false},
	} {
		if got := rules.auth.MayUse(auth.User{Name: "alice", Realm: tt.realm}, tt.aor); got != tt.may {
			t.Errorf("alice of %s may use %s: %t", tt.realm, tt.aor, got)
		}
	}
	for aor, known := range map[usrloc.AOR]bool{"sip:bob@example.net": true, "sip:bob@example.com": false, "sip:alice@example.org": true} {
		if got := r.gate.known(aor); got != known {
			t.Errorf("%s is known: %t", aor, got)
		}
	}
	message := w.request("INVITE", "sip:bob@example.net", "From: <sip:somebody@example.org>;tag=f")
	m, err := sipmsg.Parse([]byte(message), netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	for realm, want := range map[string]usrloc.AOR{"example.com": "sip:alice@example.com", "net": "sip:alice@example.net"} {
		if got := rules.identity(auth.User{Name: "alice", Realm: realm}, m); got != want {
			t.Errorf("alice of %s is %s, want %s", realm, got, want)
		}
	}
}
