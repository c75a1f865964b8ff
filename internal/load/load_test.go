package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"reveille/internal/sipmsg"
)

func TestOptions_Check(t *testing.T) {
	good := Options{Target: target, Phones: 10, Sleepers: 5, Phases: []Phase{closed(10, 1)}}
	tests := []struct {
		name   string
		change func(*Options)
		says   string
	}{
		{"good", func(*Options) {}, ""},
		{"IPv6 loopback", func(o *Options) { o.Target = netip.MustParseAddrPort("[::1]:5060") }, ""},
		{"mapped loopback", func(o *Options) { o.Target = netip.MustParseAddrPort("[::ffff:127.0.0.1]:5060") }, ""},
		{"no target", func(o *Options) { o.Target = netip.AddrPort{} }, "no target"},
		{"remote", func(o *Options) { o.Target = netip.MustParseAddrPort("192.0.2.1:5060") }, "not on this machine"},
		{"remote and allowed", func(o *Options) {
			o.Target, o.AllowRemote = netip.MustParseAddrPort("192.0.2.1:5060"), true
		}, ""},
		{"domain", func(o *Options) { o.Domain = "example.com\r\nVia: x" }, "no host name"},
		{"no phones", func(o *Options) { o.Phones = 0 }, "0 phones"},
		{"too many phones", func(o *Options) { o.Phones = MaxPhones + 1 }, "want 1 to 9999999"},
		{"too many sockets", func(o *Options) { o.Sockets = 1000 }, "1000 sockets"},
		{"too many sleepers", func(o *Options) { o.Sleepers = 11 }, "11 phones are to sleep, of 10"},
		{"share", func(o *Options) { o.Dead = 2 }, "dead phones 2"},
		{"algorithm", func(o *Options) { o.Algorithm = "MD4" }, `"MD4"`},
		{"span", func(o *Options) { o.Hold = Span{2, 1} }, "span"},
		{"interval", func(o *Options) { o.Interval = 1 }, "interval"},
		{"no phases", func(o *Options) { o.Phases = nil }, ""},
		{"span of a phase", func(o *Options) { o.Phases[0].Expires = Span{2, 1} }, "phase register: span"},
		{"endless", func(o *Options) { o.Phases[0].Register = Pace{Window: 1} }, "phase register: neither a count nor a time"},
		{"no pace", func(o *Options) { o.Phases[0].Register = Pace{Count: 1} }, "neither a rate nor a window"},
		{"negative pace", func(o *Options) { o.Phases[0].Register = Pace{Count: -1} }, "negative"},
		{"phones that are not there", func(o *Options) { o.Phases[0].First, o.Phases[0].Phones = 5, 6 }, "phones 5 to 11, of 10"},
		{"calls to nobody awake", func(o *Options) {
			o.Sleepers = 10
			o.Phases[0].Calls = Pace{Count: 1, Rate: 1}
		}, "all sleep"},
		{"calls to nobody asleep", func(o *Options) {
			o.Sleepers = 0
			o.Phases[0].Calls, o.Phases[0].Asleep = Pace{Count: 1, Rate: 1}, 1
		}, "none does"},
		{"share of calls", func(o *Options) { o.Phases[0].Asleep = -1 }, "sleeping phones -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := good
			o.Phases = slices.Clone(good.Phases)
			tt.change(&o)
			err := o.Check()
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Check = %v, want %q in it", err, tt.says)
			}
			if got := errors.Is(err, ErrRemote); got != (tt.name == "remote") {
				t.Errorf("is ErrRemote: %t", got)
			}
		})
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New takes what Check refuses")
	}
}

func TestDeadlines_EarliestFirst(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var d deadlines
	var want []int64
	for range 1000 {
		at := rng.Int64N(500)
		d.add(deadline{at: at})
		want = append(want, at)
	}
	slices.Sort(want)
	if _, ok := d.take(want[0] - 1); ok {
		t.Error("took one that is not due")
	}
	for i, at := range want {
		if d.next() != at {
			t.Fatalf("next = %d, want %d", d.next(), at)
		}
		if got, ok := d.take(at); !ok || got.at != at {
			t.Fatalf("take %d = %d, %t, want %d", i, got.at, ok, at)
		}
	}
	if d.next() != never {
		t.Error("there is one left")
	}
}

func TestPump_Next(t *testing.T) {
	tests := []struct {
		name string
		pump pump
		now  int64
		over bool
		next int64
	}{
		{"nothing", newPump(Pace{}, 5), 5, true, never},
		{"open, the first", newPump(Pace{Count: 9, Rate: 2}, second), second, false, second},
		{"open, the third", pump{pace: Pace{Count: 9, Rate: 2}, began: second, started: 2}, 0, false, 2 * second},
		{"open, all", pump{pace: Pace{Count: 2, Rate: 2}, started: 2}, 0, true, never},
		{"closed, room", pump{pace: Pace{Count: 9, Window: 2}, underWay: 1}, 7, false, 0},
		{"closed, full", pump{pace: Pace{Count: 9, Window: 2}, underWay: 2}, 7, false, never},
		{"closed, later", pump{pace: Pace{Count: 9, Window: 2}, retry: 8}, 7, false, 8},
		{"time over", pump{pace: Pace{For: 5, Window: 2}}, 5, true, never},
		{"time not over", pump{pace: Pace{For: 5, Window: 2}}, 4, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if over := tt.pump.over(tt.now); over != tt.over {
				t.Errorf("over = %t", over)
			}
			if next := tt.pump.next(); next != tt.next {
				t.Errorf("next = %d, want %d", next, tt.next)
			}
		})
	}
}

func TestTagAndNames_ReadWhatTheyWrite(t *testing.T) {
	for _, want := range []tag{{1, 'r', 2, 3}, {1<<32 - 1, 'b', 9_999_999, 1 << 31}} {
		via := "SIP/2.0/UDP 127.0.0.1:1;rport=1;branch=" + cookie + string(want.append(nil)) + ";received=127.0.0.1"
		if got, ok := branchTag(via); !ok || got != want {
			t.Errorf("branchTag = %+v, %t, want %+v", got, ok, want)
		}
	}
	for _, bad := range []string{"", "SIP/2.0/UDP a;branch=1", "SIP/2.0/UDP a;branch=" + cookie + "r12", "SIP/2.0/UDP a;branch=" + cookie + "rXXXXXXXXXXXXXXXXXXXXXXXX"} {
		if got, ok := branchTag(bad); ok {
			t.Errorf("branchTag(%q) = %+v", bad, got)
		}
	}
	for _, i := range []uint32{0, 7, 1234567, MaxPhones} {
		if got, ok := userOf(string(appendUser(nil, i))); !ok || got != i {
			t.Errorf("userOf = %d, %t, want %d", got, ok, i)
		}
		if got, ok := tokenOf(string(appendToken(nil, i))); !ok || got != i {
			t.Errorf("tokenOf = %d, %t, want %d", got, ok, i)
		}
	}
	for _, bad := range []string{"", "u", "u000000x", "x0000001", "u00000001"} {
		if got, ok := userOf(bad); ok {
			t.Errorf("userOf(%q) = %d", bad, got)
		}
	}
	if got, ok := tokenOf("u0000001:APA91bother"); ok {
		t.Errorf("tokenOf another program's token = %d", got)
	}
}

// answering is a registrar of the simplest kind.
func answering(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, maxDatagram)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if m, err := sipmsg.Parse(b[:n], from); err == nil {
				_, _ = conn.WriteToUDPAddrPort(m.AppendReply(nil, sipmsg.Reply{Code: 200, ToTag: "s"}), from)
			}
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestLoad_RunOverSockets(t *testing.T) {
	rows := 0
	l, err := New(Options{
		Target: answering(t), Phones: 500, Phases: []Phase{closed(500, 20), {Name: "refresh", Register: Pace{For: 50 * time.Millisecond, Window: 5}, Random: true}},
		Progress: func(string, Row) { rows++ }, Interval: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Phases) != 2 || s.Phases[0].Registers.OK != 500 || s.Phases[1].Registers.OK < 5 || s.Failed() != 0 || s.Interrupted {
		t.Errorf("summary = %+v", s)
	}
	if rows < 2 || len(s.Series) != rows {
		t.Errorf("%d rows were shown, and %d kept", rows, len(s.Series))
	}
	l.Pushed("nobody's", CallPush, time.Now()) // Nobody hears it, and nobody waits.
	if l.Close() == nil {
		t.Error("Close after Run says nothing")
	}
}

func TestLoad_DoOnePhaseAfterTheOther(t *testing.T) {
	l, err := New(Options{Target: answering(t), Phones: 50, Sockets: 4})
	if err != nil {
		t.Fatal(err)
	}
	again := closed(50, 5)
	again.Restart = true
	var ports []string
	for _, p := range []Phase{closed(50, 5), again} {
		got, err := l.Do(t.Context(), p)
		if err != nil || got.Name != "register" || got.Registers.OK != 50 || got.Registers.Failed != 0 {
			t.Errorf("Do = %+v, %v", got, err)
		}
		ports = append(ports, l.sockets.addr(0), l.sockets.addr(4))
	}
	if ports[0] == ports[2] || ports[1] != ports[3] {
		t.Errorf("ports %v, want another of the phones, and the same of the callers", ports)
	}
	if _, err := l.Do(t.Context(), Phase{Name: "endless", Register: Pace{Window: 1}}); err == nil || !strings.HasPrefix(err.Error(), "phase endless: ") {
		t.Errorf("an endless phase: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func TestLoad_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, err := New(Options{
		Target: answering(t), Phones: 5, Interval: 10 * time.Millisecond, Progress: func(string, Row) { cancel() },
		Phases: []Phase{{Name: "refresh", Register: Pace{For: time.Hour, Window: 5}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Run(ctx)
	if err != nil || !s.Interrupted || s.Failed() != 0 || s.Phases[0].Registers.OK == 0 {
		t.Errorf("Run = %+v, %v", s, err)
	}
}

func TestLoad_ServerThatIsNotThere(t *testing.T) {
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	gone := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	l, err := New(Options{
		Target: gone, Phones: 5, Drain: 50 * time.Millisecond, Interval: 20 * time.Millisecond, Progress: func(string, Row) { cancel() },
		Phases: []Phase{closed(5, 5)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Run(ctx)
	if err != nil || s.Failed() != 5 {
		t.Errorf("Run = %+v, %v, want 5 failures", s, err)
	}
}

func TestLoad_Close(t *testing.T) {
	l, err := New(Options{Target: target, Phones: 1, Sleepers: 1, Phases: []Phase{closed(1, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}
