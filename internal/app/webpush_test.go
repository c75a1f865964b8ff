package app

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

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
