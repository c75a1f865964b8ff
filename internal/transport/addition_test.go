package transport

import (
	"net"
	"strings"
	"testing"
	"time"

	"reveille/flow"
)

// TestBind_WhileRunning: listeners that come later are like the others, and what
// is sent on one that was there goes on.
func TestBind_WhileRunning(t *testing.T) {
	r := newRecorder(t)
	tr := onLoopback(t, r)
	before, err := net.Dial("tcp", tr.Addr("tcp4").String())
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	more := []ListenerOptions{
		{Name: "late-tcp", Transport: flow.TCP, Addr: "127.0.0.1:0", Advertise: "late.example.com"},
		{Name: "late-udp", Transport: flow.UDP, Addr: "127.0.0.1:0", Sockets: 2},
	}
	a, err := tr.Bind(more)
	if err != nil {
		t.Fatal(err)
	}
	if tr.Addr("late-tcp") != nil {
		t.Error("a listener is there before Start")
	}
	a.Start()
	if list := tr.Listeners(); list[len(list)-1].Name != "late-udp" || !tr.IsOwn("late.example.com", addrPort(tr.Addr("late-tcp")).Port(), flow.TCP) {
		t.Errorf("listeners %+v", list)
	}
	conns := []net.Conn{before}
	for _, l := range []string{"late-tcp", "late-udp"} {
		c, err := net.Dial(strings.TrimPrefix(l, "late-"), tr.Addr(l).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for i, c := range conns {
		r.take()
		mustWrite(t, c, message(i, "x"))
		r.until("Receive", func() bool { return len(r.messages) == 1 })
		if f := r.last(); f.Remote != addrPort(c.LocalAddr()) || !tr.Open(f) || !tr.Alive(f, time.Now()) {
			t.Errorf("flow %v, want that of %v", f, c.LocalAddr())
		}
	}
}

// TestBind_AllOrNone: what cannot be bound leaves nothing behind, and neither does
// what is given up.
func TestBind_AllOrNone(t *testing.T) {
	tr := onLoopback(t, newRecorder(t))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name string
		more []ListenerOptions
		says string
	}{
		{"a name that is there", []ListenerOptions{{Name: "udp4", Transport: flow.UDP, Addr: "127.0.0.1:0"}}, "name used twice"},
		{"an address of others", []ListenerOptions{{Name: "a", Transport: flow.UDP, Addr: "127.0.0.1:0"}, {Name: "b", Transport: flow.TCP, Addr: taken.Addr().String()}}, `listener "b"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tr.Bind(tt.more); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Bind = %v, want %q", err, tt.says)
			}
		})
	}
	a, err := tr.Bind([]ListenerOptions{{Name: "a", Transport: flow.TCP, Addr: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	addr := a.listeners[0].Addr.String()
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("a listener that was given up accepts")
	}
}
