package app

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/phone"
	"reveille/internal/tlscert"
	"reveille/internal/tlscert/certtest"
)

// TestReload_Listeners: phones register on a listener that a reload brought, under
// its rules, and those on the others notice nothing.
func TestReload_Listeners(t *testing.T) {
	r := newRig(t)
	alice := r.phone("alice", "tcp", "")
	r.register(alice)

	authority, dir := certtest.New(t), t.TempDir()
	cert, key := certtest.Write(t, dir, "sip", authority.Issue("late.example.com"))
	more := strings.TrimSuffix(listenYAML, "]") + `, {name: more, transport: udp, addr: "127.0.0.1:0"}, {name: door, transport: udp, addr: "127.0.0.1:0", auth: "off"}, ` +
		`{name: tls, transport: tls, addr: "127.0.0.1:0", tls: {cert_file: ` + filepath.ToSlash(cert) + `, key_file: ` + filepath.ToSlash(key) + `}}]`
	r.reload(more)
	r.register(r.phone("bob", "udp", "", func(o *phone.Options) { o.Server = r.Addr("more").String() }))
	r.register(r.phone("anybody", "udp", "", func(o *phone.Options) { o.Server = r.Addr("door").String() }))
	if got := r.secured(authority); got.name() != "late.example.com" || !strings.Contains(got.register("alice"), "401") {
		t.Errorf("the new listener is %s", got.name())
	}
	if n := testutil.CollectAndCount(tlscert.NewExpiry(r.certSources)); n != 1 {
		t.Errorf("%d times of expiry are told", n)
	}
	certtest.Write(t, dir, "sip", authority.Issue("later.example.com"))
	r.reload(more)
	if got := r.secured(authority).name(); got != "later.example.com" {
		t.Errorf("after one more reload the new listener is %s", got)
	}
	r.register(alice)

	// What cannot be bound changes nothing.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bad := strings.TrimSuffix(more, "]") + `, {name: a, transport: udp, addr: "127.0.0.1:0"}, {name: b, transport: tcp, addr: "` + taken.Addr().String() + `"}]`
	if err := r.Reload(r.config(bad)); err == nil || !strings.Contains(err.Error(), `listener "b"`) {
		t.Errorf("Reload = %v", err)
	}
	if r.Addr("a") != nil {
		t.Error("half of the listeners are there")
	}
	r.reload(more)
	if err := r.Reload(r.config()); err == nil || !strings.Contains(err.Error(), "need a restart") {
		t.Errorf("Reload without the new ones = %v", err)
	}
}
