package registrar

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"reveille/flow"
	"reveille/usrloc"
)

func TestAppendOK_RFC3261_10_3_8(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, `<sip:desk@h;x=1?Route=y>;methods="INVITE, BYE;pn-prid=z";q=0.35;expires=600`)
	w.after(100500 * time.Millisecond)
	res := w.mustRegister("two", 1, fcm+";+sip.pnsreg;expires=3600")
	got := string(AppendOK([]byte("before|"), &w.p, &w.rec, &res, w.now))
	want := "before|" +
		"Contact: <sip:desk@h;x=1?Route=y>;methods=\"INVITE, BYE;pn-prid=z\";q=0.35;expires=499\r\n" +
		"Contact: <sip:a@h;pn-provider=fcm;pn-param=proj;pn-prid=tok>;+sip.pnsreg;expires=3600\r\n" +
		"Feature-Caps: *;+sip.pns=\"fcm\";+sip.pnsreg=\"130\";+sip.pnspurr=\"purr0002\"\r\n" +
		"Date: Sat, 21 Nov 2026 23:01:40 GMT\r\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAppendOK_OthersTokensAreKept_RFC8599_13(t *testing.T) {
	const (
		mine   = "<sip:mine@h;pn-provider=fcm;pn-param=p;pn-prid=minesecret>"
		theirs = "<sip:theirs@h;pn-provider=fcm;pn-prid=secret;pn-param=p>;+sip.pnsreg"
	)
	w := newWorld(t)
	w.mustRegister("one", 1, theirs)
	w.after(time.Second)
	const shown = "<sip:theirs@h;pn-provider=fcm;pn-param=p>;+sip.pnsreg;expires=3599"
	for _, tt := range []struct {
		name string
		in   *Input
	}{
		{"another device", w.input("two", 1, mine)},
		{"fetch", w.input("three", 1)},
		{"fetch with the Call-ID and CSeq of the device", w.input("one", 1)},
	} {
		res, err := w.apply(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		got := w.ok(res)
		if !strings.Contains(got, shown) {
			t.Errorf("%s: %q not in\n%s", tt.name, shown, got)
		}
		if carried := len(tt.in.Contacts) > 0; strings.Contains(got, "minesecret") != carried {
			t.Errorf("%s: own token shown %v, want %v:\n%s", tt.name, !carried, carried, got)
		}
	}
}

func TestAppendWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"h":                               "h",
		"h;pn-prid=x":                     "h",
		"h;pn-prid=x;a":                   "h;a",
		"h;a;PN-PRID=x?Route=y;pn-prid":   "h;a?Route=y",
		"h;%70n-prid=x;a":                 "h;a",
		"h;pn-prid":                       "h",
		"h;pn-tok=x;pn-call-str=y;a":      "h;a",
		"h;pn-provider=apns;pn-param=p":   "h;pn-provider=apns;pn-param=p",
		"h;token=0123456789ab;a":          "h;a",
		"h;pn-prid=x;b;pn-prid=y":         "h;b",
		"h;pn-prid=x?h=1":                 "h?h=1",
		"h;pn=1;pnx=1;xpn-prid=2":         "h;pn=1;pnx=1;xpn-prid=2",
		`;a="x;pn-prid=\";b";pn-prid=x`:   `;a="x;pn-prid=\";b"`,
		`; pn-prid = x ; a`:               "; a",
		`;a="unclosed;pn-prid=x`:          `;a="unclosed;pn-prid=x`,
		"h:5060;pn-prid=a=b=;transport=x": "h:5060;transport=x",
	} {
		if got := string(appendWithoutSecrets(nil, in, "0123456789ab")); got != want {
			t.Errorf("appendWithoutSecrets(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAppendOK_UserPartIsNoParameter(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a;pn-prid=user@h>")
	if got := w.ok(Result{}); !strings.Contains(got, "<sip:a;pn-prid=user@h>") {
		t.Errorf("the user part was cut:\n%s", got)
	}
}

func TestAppendOK_ExpiredIsNotListed(t *testing.T) {
	w := newWorld(t)
	w.mustRegister("one", 1, "<sip:a@h>;expires=60", "<sip:b@h>;expires=61")
	// A dormant device is kept longer than it is registered.
	w.rec.Bindings[0].RetainUntil = w.now.Add(time.Hour)
	w.after(60*time.Second + time.Millisecond)
	if got, want := w.ok(Result{}), "Contact: <sip:b@h>;expires=1\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAppendOK_RequestContactsOnly(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.RequestContactsOnly = true })
	w.mustRegister("one", 1, "<sip:a@h>")
	res := w.mustRegister("two", 1, "<sip:b@h>")
	if got, want := w.ok(res), "Contact: <sip:b@h>;expires=3600\r\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Who asks for all gets all.
	if got := w.ok(w.mustRegister("three", 1)); strings.Count(got, "Contact: ") != 2 {
		t.Errorf("fetch: got\n%s", got)
	}
}

func TestAppendOK_ReceivedParam(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   func(*Input)
		want string
	}{
		{"UDP", func(*Input) {}, "sip:192.0.2.1:5060;transport=udp"},
		{"TCP", func(in *Input) { in.Flow = streamFrom(7) }, "sip:192.0.2.1:7;transport=tcp"},
		{"WSS, IPv6", func(in *Input) {
			in.Flow = flow.Flow{Transport: flow.WSS, Remote: netip.MustParseAddrPort("[fe80::1%eth0]:443")}
		}, "sip:[fe80::1]:443;transport=ws"},
		{"IPv4 in IPv6", func(in *Input) {
			in.Flow = flow.Flow{Transport: flow.TLS, Remote: netip.MustParseAddrPort("[::ffff:192.0.2.9]:5061")}
		}, "sip:192.0.2.9:5061;transport=tls"},
		{"a proxy saw it", func(in *Input) {
			in.Path, in.PathReceived = []string{"<sip:e;lr>"}, "sip:198.51.100.1:9"
		}, "sip:198.51.100.1:9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) { p.ReceivedParam, p.PathReceived = "received", true })
			in := w.input("one", 1, "<sip:a@h>")
			tt.in(in)
			res := w.mustApply(in)
			if got, want := w.ok(res), "Contact: <sip:a@h>;expires=3600;received=\""+tt.want+"\"\r\n"; got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAppendQ_RFC3261_25_1(t *testing.T) {
	for q, want := range map[usrloc.Q]string{0: "0", 1: "0.001", 10: "0.01", 100: "0.1", 350: "0.35", 123: "0.123", 105: "0.105", 999: "0.999", 1000: "1"} {
		got := string(appendQ(nil, q))
		if got != want {
			t.Errorf("appendQ(%d) = %q, want %q", q, got, want)
		}
		if back := parseQ(got); back != q {
			t.Errorf("parseQ(%q) = %d, want %d", got, back, q)
		}
	}
	for _, s := range []string{"", "2", "1.001", "0.1234", "-0", ".5", "0.5x", "0,5", "00.5", "0.+5", "1.0000"} {
		if got := parseQ(s); got != usrloc.QUnset {
			t.Errorf("parseQ(%q) = %d, want unset", s, got)
		}
	}
	for s, want := range map[string]usrloc.Q{"0": 0, "1": 1000, "0.": 0, "1.000": 1000, "0.5": 500, "0.50": 500} {
		if got := parseQ(s); got != want {
			t.Errorf("parseQ(%q) = %d, want %d", s, got, want)
		}
	}
}

func TestAppendOK_AllocatesNothing(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.Push.PURR = nil })
	w.mustRegister("one", 1, "<sip:desk@h;pn-provider=fcm;pn-param=p;pn-prid=x>;q=0.5")
	res := w.mustRegister("two", 1, web)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendOK(buf[:0], &w.p, &w.rec, &res, w.now) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestAppendDate_RFC3261_20_17(t *testing.T) {
	zone := time.FixedZone("", 5400)
	for range 10_000 {
		at := time.Unix(rand.Int64N(1<<34), rand.Int64N(1e9)).In(zone)
		if got, want := string(appendDate(nil, at)), at.UTC().Format(http.TimeFormat); got != want {
			t.Fatalf("%d: %q, want %q", at.Unix(), got, want)
		}
	}
}

func BenchmarkAppendOK(b *testing.B) {
	w := newWorld(&testing.T{})
	res := w.mustRegister("one", 1, web)
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendOK(buf[:0], &w.p, &w.rec, &res, w.now)
	}
}

func BenchmarkApply_Refresh(b *testing.B) {
	w := newWorld(&testing.T{})
	const contact = `<sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=tok>;+sip.instance="<urn:uuid:1>"`
	w.mustRegister("one", 1, contact)
	in := w.input("one", 2, contact)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Apply(&w.p, w.rec, in); err != nil {
			b.Fatal(err)
		}
	}
}
