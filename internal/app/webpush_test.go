package app

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"reveille/push/pushsim"
	"reveille/push/pushtest"
)

// TestWebPush_EncryptedPayload: a page that hands over the keys of its
// subscription is told why it is woken, and nobody else learns them.
func TestWebPush_EncryptedPayload_RFC8291(t *testing.T) {
	r := newRig(t, openYAML)
	r.file("vapid.pem", r.sim.Credentials().VAPIDKeyPEM())
	r.reload(openYAML, `push: {apps: [{name: web, webpush: {vapid_key_file: vapid.pem, subscriber: "mailto:ops@reveille.dev", `+
		`allowed_hosts: ["127.0.0.1"], allow_private: true, ca_file: ca.pem, payload: true, template: '{"kind": "{{.Kind}}", "method": "{{.Method}}"}'}}]}`)
	browser := pushtest.NewBrowser(t)
	keys := browser.Keys()
	page, desk := r.dial("tcp"), r.dial("tcp")
	contact := fmt.Sprintf("Contact: <sip:alice@%s;transport=tcp;pn-provider=webpush;pn-prid=%s;pn-p256dh=%s;pn-auth=%s>;+sip.instance=\"<urn:x>\"",
		page.conn.LocalAddr(), url.QueryEscape(r.sim.SubscriptionURL("page-of-alice")), keys.P256DH, keys.Auth)
	register := func(w *wire, contact string) string {
		w.send(w.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=1", "To: <sip:alice@example.com>", contact, "Expires: 3600"))
		return w.response()
	}
	answer := register(page, contact)
	if !strings.HasPrefix(answer, "SIP/2.0 200") || !strings.Contains(answer, keys.Auth) || !strings.Contains(answer, r.sim.Credentials().VAPIDPublic()) {
		t.Fatalf("answer to the page:\n%s", answer)
	}
	// The desk phone of the same user does not see them.
	answer = register(desk, "Contact: <sip:alice@"+desk.conn.LocalAddr().String()+";transport=tcp>")
	if !strings.HasPrefix(answer, "SIP/2.0 200") || strings.Contains(answer, keys.Auth) || strings.Contains(answer, keys.P256DH) || !strings.Contains(answer, "webpush") {
		t.Errorf("answer to another device:\n%s", answer)
	}
	// The page is closed, and somebody calls.
	page.conn.Close()
	caller := r.dial("udp")
	caller.send(caller.request("INVITE", "sip:alice@example.com"))
	r.eventually("the page is pushed", func() bool { return len(r.sim.Pushes()) > 0 })
	got, err := browser.Decrypt([]byte(r.sim.Pushes()[0].Payload))
	if err != nil || string(got) != `{"kind": "call", "method": "INVITE"}` {
		t.Errorf("payload = %q, %v", got, err)
	}
}

// TestWebPush_NewVAPIDKey: phones are told the new key at their next REGISTER,
// and those that subscribed with the old one are woken all the same.
func TestWebPush_NewVAPIDKey_RFC8292_4_2(t *testing.T) {
	t.Parallel()
	r := newRig(t, openYAML)
	web := func(keys string) string {
		return `push: {apps: [{name: web, webpush: {` + keys + `, subscriber: "mailto:ops@reveille.dev", ` +
			`allowed_hosts: ["127.0.0.1"], allow_private: true, ca_file: ca.pem}}]}`
	}
	creds, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	r.file("old.pem", r.sim.Credentials().VAPIDKeyPEM())
	r.file("new.pem", creds.VAPIDKeyPEM())
	r.reload(openYAML, web("vapid_key_file: old.pem"))
	page := r.dial("tcp")
	contact := fmt.Sprintf("Contact: <sip:alice@%s;transport=tcp;pn-provider=webpush;pn-prid=%s>;+sip.instance=\"<urn:x>\"",
		page.conn.LocalAddr(), url.QueryEscape(r.sim.SubscriptionURL("page-of-alice")))
	register := func(cseq int) string {
		page.send(page.request("REGISTER", "sip:example.com", "From: <sip:alice@example.com>;tag=1", "To: <sip:alice@example.com>",
			"Call-ID: same", fmt.Sprintf("CSeq: %d REGISTER", cseq), contact, "Expires: 3600"))
		for {
			// The call that waits comes between.
			if m := page.response(); m == "" || strings.HasPrefix(m, "SIP/2.0") {
				return m
			}
		}
	}
	for cseq := 1; cseq <= 2; cseq++ { // the second is a plain refresh
		if answer := register(cseq); !strings.Contains(answer, r.sim.Credentials().VAPIDPublic()) {
			t.Fatalf("the key is not announced:\n%s", answer)
		}
	}
	r.reload(openYAML, web("vapid_key_file: new.pem, old_vapid_key_files: [old.pem]"))
	for cseq := 3; cseq <= 4; cseq++ {
		if answer := register(cseq); !strings.Contains(answer, creds.VAPIDPublic()) || strings.Contains(answer, r.sim.Credentials().VAPIDPublic()) {
			t.Errorf("the new key is not announced:\n%s", answer)
		}
	}
	page.conn.Close()
	caller := r.dial("udp")
	caller.send(caller.request("INVITE", "sip:alice@example.com"))
	taken := func() (n int) {
		for _, p := range r.sim.Pushes() {
			if p.Status == http.StatusCreated {
				n++
			}
		}
		return n
	}
	r.eventually("the page is pushed with the key that it knows", func() bool { return taken() == 1 })
	if n := len(r.sim.Pushes()); n != 2 {
		t.Errorf("%d attempts, want one with either key", n)
	}
	// The file of the new key is replaced once more, without a reload.
	third, err := pushsim.NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	page = r.dial("tcp")
	for cseq := 5; cseq <= 6; cseq++ {
		register(cseq)
	}
	r.file("new.pem", third.VAPIDKeyPEM())
	look, log := r.looking()
	look()
	look()
	if answer := register(7); !strings.Contains(answer, third.VAPIDPublic()) { // a plain refresh
		t.Errorf("the third key is not announced: %s\n%s", log, answer)
	}
}
