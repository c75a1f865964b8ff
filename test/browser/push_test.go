//go:build browser

package browser

import (
	"bufio"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/push"
	"reveille/push/webpush"
)

// A push without payload is taken by a push service that others wrote, and one
// with another key than the subscription's is not (RFC 8030 §5, RFC 8292).
func TestPushServiceOfOthers(t *testing.T) {
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	otherPublic, otherPrivate, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	endpoint, roots := pushService(t, public)
	tests := []struct {
		name            string
		public, private string
		want            push.Class
	}{
		{"the subscription's key", public, private, push.OK},
		{"another key", otherPublic, otherPrivate, push.Suspect},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := webpush.New(webpush.Options{
				VAPIDPublic: tt.public, VAPIDPrivate: tt.private, Subscriber: "mailto:ops@example.com",
				AllowedHosts: []string{"127.0.0.1"}, AllowPrivate: true, RootCAs: roots,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			r := &push.Request{
				Params: push.Params{Provider: "webpush"}, Tokens: []push.Token{{PRID: endpoint}},
				Kind: push.Call, CallID: "call-1", Deadline: time.Now().Add(30 * time.Second),
			}
			if o := s.Send(t.Context(), r); o.Class != tt.want {
				t.Errorf("outcome %v (%d %s, %v), want %v", o.Class, o.Status, o.Reason, o.Err, tt.want)
			}
		})
	}
}

// pushService starts the push service of testdata with a subscription bound to a
// VAPID key, and returns its URL and whom to believe there.
func pushService(t *testing.T, vapid string) (endpoint string, roots *x509.CertPool) {
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
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the push service does not start: %v", err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return strings.TrimSpace(line), roots
}
