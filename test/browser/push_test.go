//go:build browser

package browser

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/push"
	"reveille/push/webpush"
)

// A push is taken by a push service that others wrote, its payload is read by the
// browser behind it, and one with another key than the subscription's is refused
// (RFC 8030 §5, RFC 8291, RFC 8292).
func TestPushServiceOfOthers(t *testing.T) {
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	otherPublic, otherPrivate, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	others := startOthers(t, public)
	tests := []struct {
		name            string
		public, private string
		payload         string
		want            push.Class
	}{
		{"the subscription's key", public, private, "", push.OK},
		{"another key", otherPublic, otherPrivate, "", push.Suspect},
		{"a payload", public, private, `{"who":"\"Bob\" é"}`, push.OK},
		{"a long payload", public, private, `{"who":"` + strings.Repeat("x", 3900) + `"}`, push.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := webpush.New(webpush.Options{
				VAPIDPublic: tt.public, VAPIDPrivate: tt.private, Subscriber: "mailto:ops@example.com",
				AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: others.roots,
				Payload: tt.payload != "", Template: tt.payload,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := &push.Request{
				Params: push.Params{Provider: "webpush"}, Tokens: []push.Token{{PRID: others.endpoint}}, Keys: others.keys,
				Kind: push.Call, CallID: "call-1", Deadline: time.Now().Add(30 * time.Second),
			}
			o := s.Send(t.Context(), r)
			if o.Class != tt.want {
				t.Errorf("outcome %v (%d %s, %v), want %v", o.Class, o.Status, o.Reason, o.Err, tt.want)
			}
			if tt.payload == "" || o.Class != push.OK {
				return
			}
			var got string
			if err := others.said.Decode(&got); err != nil || got != tt.payload {
				t.Errorf("the browser reads %q, %v, want %q", got, err, tt.payload)
			}
		})
	}
}

// others are the push service of testdata and the browser behind it.
type others struct {
	endpoint string
	keys     push.SubscriptionKeys
	roots    *x509.CertPool // whom to believe there
	said     *json.Decoder  // what payloads say, each a string
}

// startOthers starts them with a subscription bound to a VAPID key.
func startOthers(t *testing.T, vapid string) others {
	t.Helper()
	dir := t.TempDir()
	cert, key := (&rig{t: t}).certificate()
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	libraries, err := filepath.Abs(filepath.Join(installed, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "testdata/push-service.js", libraries, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), vapid)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start node: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	o := others{roots: x509.NewCertPool(), said: json.NewDecoder(out)}
	var subscription struct {
		Endpoint string
		Keys     struct{ P256dh, Auth string }
	}
	if err := o.said.Decode(&subscription); err != nil {
		t.Fatalf("the push service does not start: %v", err)
	}
	o.endpoint = subscription.Endpoint
	o.keys = push.SubscriptionKeys{P256DH: subscription.Keys.P256dh, Auth: subscription.Keys.Auth}
	o.roots.AppendCertsFromPEM(cert)
	return o
}
