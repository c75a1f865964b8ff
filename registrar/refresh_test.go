package registrar

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/usrloc"
)

// refreshing is a Registrar with a store in memory, for one AOR.
type refreshing struct {
	t     *testing.T
	r     *Registrar
	store *usrloc.Memory
	w     *Refresh
	now   time.Time
}

func newRefreshing(t *testing.T, sink event.Sink, change ...func(*Policy)) *refreshing {
	t.Helper()
	p := pushPolicy()
	for _, c := range change {
		c(&p)
	}
	x := &refreshing{t: t, store: usrloc.NewMemory(usrloc.MemoryOptions{})}
	if sink == nil {
		sink = event.Discard{}
	}
	var err error
	if x.r, err = New(Options{Store: x.store, Policy: p, Sink: sink, Registerer: prometheus.NewRegistry()}); err != nil {
		t.Fatal(err)
	}
	x.w = x.r.NewRefresh()
	x.now = time.Now().Truncate(time.Millisecond).Add(time.Second)
	return x
}

func (x *refreshing) contact(value string) sipmsg.NameAddr {
	x.t.Helper()
	c, err := sipmsg.ParseNameAddr(value)
	if err != nil {
		x.t.Fatal(err)
	}
	return c
}

func (x *refreshing) input(callID string, cseq uint32) Input {
	return Input{AOR: alice, CallID: callID, CSeq: cseq, Now: x.now, Flow: flowFrom(5060), UserAgent: "phone/1"}
}

// apply works a REGISTER in by Apply, and returns what the 200 adds.
func (x *refreshing) apply(in Input, contact string) string {
	x.t.Helper()
	na := x.contact(contact)
	c := x.read(&na, &in)
	var err error
	if c.ID, err = usrloc.NewBindingID(alice, x.r.random); err != nil {
		x.t.Fatal(err)
	}
	in.Contacts = []Contact{c}
	var res Result
	var out string
	policy := x.r.policy.Load().of(&in)
	x.store.Update(x.t.Context(), alice, func(rec usrloc.Record) (next usrloc.Record, err error) {
		next, res, err = Apply(policy, rec, &in)
		return next, err
	}, func(rec usrloc.Record, _ []usrloc.Change, err error) {
		if err == nil {
			out = string(AppendOK(nil, policy, &rec, &res, in.Now))
		}
	})
	return out
}

// read reads a contact as the handler does.
func (x *refreshing) read(na *sipmsg.NameAddr, in *Input) Contact {
	c := readContact(na)
	x.r.policy.Load().mapper.read(&c, na, agentOf(in), func(string) (string, bool) { return "", false })
	return c
}

func (x *refreshing) try(in Input, contact string) (string, bool) {
	x.t.Helper()
	x.w.Input, x.w.Contact = in, contact
	out, touched := x.w.Try(x.store, nil, nil)
	return string(out), touched == usrloc.TouchDone
}

func (x *refreshing) record() usrloc.Record {
	x.t.Helper()
	rec, err := x.store.Get(x.t.Context(), alice)
	if err != nil {
		x.t.Fatal(err)
	}
	return rec
}

var sameRecord = cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(usrloc.Record{}, "Version"), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })}

const (
	pushContact  = `<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-param=proj;pn-prid=token>;+sip.instance="<urn:x:1>";reg-id=1`
	plainContact = `<sip:alice@192.0.2.1:5060;transport=udp>`
	gruusContact = pushContact + `;pub-gruu="sip:alice@example.com;gr=urn:x:1"`
)

var refreshPolicies = map[string]func(*Policy){
	"dormant devices are kept": func(p *Policy) { p.Push.Retain = time.Hour },
	"default":                  func(*Policy) {},
	"no push":                  func(p *Policy) { p.Push.Waking = nil },
	"contact callid":           func(p *Policy) { p.Match = MatchURICallID },
	"parameter":                func(p *Policy) { p.Match, p.MatchParam = MatchParameter, "line" },
	"reject short":             func(p *Policy) { p.ShortExpires, p.Push.TooShort = Reject, TooShortReject },
	"default q":                func(p *Policy) { p.DefaultQ = 500 },
	"jitter":                   func(p *Policy) { p.Jitter.Percent = 20 },
	"short push":               func(p *Policy) { p.Push.MaxExpires = 10 * time.Minute },
	"older apps": func(p *Policy) {
		p.Push.Mappings = append(olderApps()[:3], Mapping{
			UserAgent: regexp.MustCompile("phone/1"), Contact: map[string]string{"push-token": "{token}"}, Provider: "fcm", Param: "p", PRID: "{token}",
		})
	},
	"early push": func(p *Policy) {
		p.Push.Leads = map[string]time.Duration{"fcm": time.Hour, "webpush": 5 * time.Minute}
		p.Push.NoBackground = true
	},
	"reject services": func(p *Policy) { p.Push.Unsupported = RejectUnsupported },
	"jitter, default": func(p *Policy) { p.Jitter = Jitter{Percent: 20, Both: true, DefaultOnly: true} },
	"gruu": func(p *Policy) {
		p.GRUU, p.ReceivedParam, p.ServiceRoute = plainGRUU{}, "received", []string{"sip:out;lr"}
	},
	"no outbound":   func(p *Policy) { p.Outbound.Mode, p.RequestContactsOnly = OutboundOff, true },
	"outbound only": func(p *Policy) { p.Outbound.Mode = OutboundRequired },
	"a rule of the user": func(p *Policy) {
		p.Rules = []Rule{{MaxExpires: 20 * time.Minute}, {AOR: alice, DefaultExpires: 7 * time.Minute, MaxExpires: 9 * time.Minute}}
		p.Push.Retain, p.Push.NoBackground = time.Hour, true
	},
	"rules": func(p *Policy) {
		p.Rules = []Rule{{UserAgent: regexp.MustCompile("phone/2"), MaxExpires: 4 * time.Minute}, {MaxExpires: 20 * time.Minute, Domain: "example.com"}}
	},
}

var refreshContacts = []string{
	pushContact, plainContact, gruusContact,
	pushContact + ";+sip.pnsreg", pushContact + ";q=0.5", pushContact + ";expires=600", pushContact + ";expires=0", pushContact + ";expires=300;q=0.7",
	`<sip:alice@192.0.2.1:5060;pn-provider=webpush;pn-prid=https%3a%2f%2fpush.example>;+sip.instance="<urn:x:2>"`,
	`<sip:alice@192.0.2.1:5060;pn-provider=nobody;pn-param=x;pn-prid=y>`, `<sip:alice@192.0.2.1:5060;pn-provider=fcm;pn-param=proj;pn-prid=bare>`,
	`<sip:alice@192.0.2.1:5060;pn-provider>`, `<sip:alice@192.0.2.1:5060;pn-prid=only>`,
	`<sip:alice@192.0.2.1;line=1>`, `<sip:alice@192.0.2.2;line=1>`, plainContact + ";a=b;expires=100;c=d", `"Alice" ` + plainContact + " ; expires=bad",
	`<sip:alice@192.0.2.1:5060;pn-provider=apns;pn-param=TEAM.app.voip;pn-prid=00aa11bb>;reg-id=2;+sip.instance="<urn:x:3>"`,
	`<sip:alice@192.0.2.1:5060;push-token=one>`, `<sip:alice@192.0.2.1:5060;app-id=1;pn-type=google;pn-tok=two>`,
	`<sip:alice@192.0.2.1:5060;pn-provider=apns;pn-param=TEAM.app.voip&remote;pn-prid=00aa:voip&11bb:remote>;+sip.instance="<urn:x:4>"`,
}

// TestRefresh_IsApply has random REGISTERs worked in both ways. What Try takes,
// it takes to the same Record and the same answer.
func TestRefresh_IsApply(t *testing.T) {
	for name, change := range refreshPolicies {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			// One device at a time; TestRefresh_BesideIsApply has several.
			x := newRefreshing(t, nil, change, func(p *Policy) { p.MaxContacts, p.Overflow = 1, ReplaceOldest })
			taken := 0
			contacts := refreshContacts
			contact, callID, cseq := contacts[0], "c1", uint32(1)
			supported, methods := ExtOutbound|ExtGRUU, usrloc.MethodInvite
			for n := range 1000 {
				if n%25 == 0 {
					contact = contacts[n/25%len(contacts)]
				}
				one := contact
				if r.IntN(12) == 0 {
					one = contacts[r.IntN(len(contacts))]
				}
				if r.IntN(4) == 0 {
					callID = fmt.Sprintf("c%d", r.IntN(3))
				}
				cseq += uint32(r.IntN(4))
				if r.IntN(10) == 0 {
					cseq -= min(cseq, 3)
				}
				x.now = x.now.Add(time.Duration(r.IntN(200)) * time.Second)
				in := x.input(callID, cseq)
				in.Random = float64(r.IntN(4)) / 4
				if r.IntN(10) == 0 {
					supported, methods = Extensions(r.IntN(8)), methods^usrloc.MethodMessage
				}
				in.Supported, in.Methods = supported, methods
				if r.IntN(10) == 0 {
					in.Flow = streamFrom(5060)
				}
				if r.IntN(2) == 0 {
					in.Expires = Expires{Present: true, Seconds: []uint32{0, 30, 100, 300, 3600, 1 << 31}[r.IntN(6)]}
				}
				if r.IntN(5) == 0 {
					in.Flow, in.UserAgent = flowFrom(uint16(5060+r.IntN(3))), "phone/2"
				}
				before := x.record()
				got, ok := x.try(in, one)
				after := x.record()
				if !ok {
					if full(before) != full(after) {
						t.Fatalf("step %d: declined and changed:\n%s", n, cmp.Diff(before, after, sameRecord))
					}
					if r.IntN(3) == 0 {
						said := fmt.Sprintf(`{"n":"%d"}`, n)
						in.Attributes = &said
					}
					x.apply(in, one)
					continue
				}
				taken++
				// The same once more, from the same start, by Apply.
				na := x.contact(one)
				in.Contacts = []Contact{x.read(&na, &in)}
				policy := x.r.policy.Load().of(&in)
				want, res, err := Apply(policy, before, &in)
				if err != nil {
					t.Fatalf("step %d: Try takes %s, Apply: %v", n, one, err)
				}
				if full(want) != full(after) {
					t.Fatalf("step %d: Try and Apply (-Apply +Try) of %s:\n%s", n, one, cmp.Diff(want, after, sameRecord))
				}
				if ok := string(AppendOK(nil, policy, &want, &res, in.Now)); got != ok {
					t.Fatalf("step %d: Try answers\n%s\nApply\n%s", n, got, ok)
				}
			}
			if taken < 50 {
				t.Errorf("Try took %d requests of 1000", taken)
			}
		})
	}
}

// full is all of rec but its version.
func full(rec usrloc.Record) string {
	s := snapshot(rec)
	for i := range rec.Bindings {
		b := &rec.Bindings[i]
		s += fmt.Sprintln(b.Params, b.Q, b.CSeq, b.Created.UnixMilli(), b.RetainUntil.UnixMilli(), b.UserAgent, b.RegID,
			b.Push.Provider, b.Push.Param, b.Push.SelfWaking, len(b.Path), b.Received, b.Methods, b.Attributes)
	}
	return s
}

// TestRefresh_Captured: what a header field says is read anew each time, the long way.
func TestRefresh_Captured(t *testing.T) {
	for _, list := range [][]string{nil, {"X-Device"}} {
		x := newRefreshing(t, nil, func(p *Policy) { p.Capture = list })
		x.apply(x.input("c", 1), pushContact)
		if _, ok := x.try(x.input("c", 2), pushContact); ok != (list == nil) {
			t.Errorf("%v to capture: taken %v", list, ok)
		}
	}
}

func TestRefresh_AnotherPolicy(t *testing.T) {
	x := newRefreshing(t, nil)
	x.apply(x.input("c", 1), pushContact)
	if _, ok := x.try(x.input("c", 2), pushContact); !ok {
		t.Fatal("declined under the policy that accepted the binding")
	}
	p := *x.r.Policy()
	p.Push.Waking = services{"apns": ""}
	// The new policy comes into force after all that was accepted so far.
	x.now = time.Now().Truncate(time.Millisecond).Add(-time.Minute)
	old := x.input("c", 3)
	if err := x.r.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	x.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
		b := rec.Bindings[0]
		b.Updated = old.Now
		rec.Bindings = []usrloc.Binding{b}
		return rec, nil
	}, func(usrloc.Record, []usrloc.Change, error) {})
	if _, ok := x.try(x.input("c", 4), pushContact); ok {
		t.Error("took a binding that another policy accepted")
	}
}

// What came by a proxy without flows (RFC 5626 §6) is a flow when it comes straight.
func TestRefresh_MayBeAFlowNow_RFC5626_6(t *testing.T) {
	x := newRefreshing(t, nil)
	in := x.input("c", 1)
	in.Relayed = true
	x.apply(in, pushContact)
	if b := x.record().Bindings[0]; b.RegID != 0 {
		t.Fatalf("reg-id %d", b.RegID)
	}
	if _, ok := x.try(x.input("c", 2), pushContact); ok {
		t.Error("took what is to become a flow")
	}
	x.apply(x.input("c", 2), pushContact)
	if _, ok := x.try(x.input("c", 3), pushContact); !ok || x.record().Bindings[0].RegID != 1 {
		t.Errorf("declined a flow: %+v", x.record().Bindings)
	}
}

// An AOR that is written in another way is not looked up as it stands.
func TestRefresh_AnotherNameOfTheAOR(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"alias": func(p *Policy) {
			p.Domains, p.Aliases = []string{"main.example"}, map[string]string{"example.com": "main.example"}
		},
		"case": func(p *Policy) { p.FoldUser = true },
		"none": func(*Policy) {},
	} {
		t.Run(name, func(t *testing.T) {
			x := newRefreshing(t, nil, change)
			const aor = "sip:Alice@example.com"
			id, err := usrloc.NewBindingID(aor, x.r.random)
			if err != nil {
				t.Fatal(err)
			}
			// From before the policy was that.
			x.store.Update(t.Context(), aor, func(rec usrloc.Record) (usrloc.Record, error) {
				end := x.now.Add(time.Hour)
				rec.Bindings = []usrloc.Binding{{
					ID: id, Contact: "sip:a@192.0.2.1", Q: usrloc.QUnset, CallID: "c", CSeq: 1, Updated: x.now, Expires: end, RetainUntil: end, Flow: flowFrom(1),
				}}
				return rec, nil
			}, func(usrloc.Record, []usrloc.Change, error) {})
			in := x.input("c", 2)
			in.AOR = aor
			if _, ok := x.try(in, "<sip:a@192.0.2.1>"); ok != (name == "none") {
				t.Errorf("Try = %v", ok)
			}
		})
	}
}

// A refresh that a Sink wants to hear of, or that Admit stops, changes nothing.
func TestRefresh_Declines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		level slog.Level
		moved bool
		admit bool
		want  bool
	}{
		{"nobody listens", slog.LevelWarn, true, true, true},
		{"refreshes are not logged", slog.LevelInfo, false, true, true},
		{"moves are logged", slog.LevelInfo, true, true, false},
		{"all is logged", slog.LevelDebug, false, true, false},
		{"not admitted", slog.LevelWarn, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: tt.level}))
			x := newRefreshing(t, event.NewLog(log))
			x.apply(x.input("c", 1), pushContact)
			in := x.input("c", 2)
			if tt.moved {
				in.Flow = flowFrom(6000)
			}
			x.w.Admit = func() bool { return tt.admit }
			before := x.record()
			_, ok := x.try(in, pushContact)
			if ok != tt.want {
				t.Errorf("Try = %v, want %v", ok, tt.want)
			}
			if changed := x.record().Bindings[0].CSeq != before.Bindings[0].CSeq; changed != tt.want {
				t.Errorf("changed: %v", changed)
			}
			if n := testutil.ToFloat64(x.r.metrics.updates); (n == 1) != tt.want {
				t.Errorf("counted %v", n)
			}
		})
	}
}

// A token that was found dead is not announced as living.
func TestRefresh_DeadToken(t *testing.T) {
	x := newRefreshing(t, nil)
	x.apply(x.input("c", 1), pushContact)
	x.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
		b := rec.Bindings[0]
		b.Push.PRID, b.RefreshAt = "", time.Time{}
		rec.Bindings = []usrloc.Binding{b}
		return rec, nil
	}, func(usrloc.Record, []usrloc.Change, error) {})
	if out, ok := x.try(x.input("c", 2), pushContact); ok {
		t.Errorf("took it:\n%s", out)
	}
}

// A phone that registers again with a token that was found dead has it again: the
// long way, for the binding says what is left.
func TestRefresh_OneDeadTokenOfTwo(t *testing.T) {
	for _, prid := range []string{"00aa:voip&11bb:remote", "00aa%3Avoip%2611bb%3Aremote", "00aa:voip%2611bb:remote"} {
		contact := "<sip:alice@192.0.2.1;pn-provider=apns;pn-param=T.app.voip&remote;pn-prid=" + prid + ">"
		for _, left := range []string{"00aa:voip", "11bb:remote", "00aa:voip&11bb:remote"} {
			x := newRefreshing(t, nil)
			x.apply(x.input("c", 1), contact)
			x.store.Update(t.Context(), alice, func(rec usrloc.Record) (usrloc.Record, error) {
				b := rec.Bindings[0]
				b.Push.PRID = left
				rec.Bindings = []usrloc.Binding{b}
				return rec, nil
			}, func(usrloc.Record, []usrloc.Change, error) {})
			if _, ok := x.try(x.input("c", 2), contact); ok != (left == "00aa:voip&11bb:remote") {
				t.Errorf("%s, of which %s is left: in place %t", prid, left, ok)
			}
		}
	}
}

func TestRefresh_AllocatesNothing(t *testing.T) {
	for _, contact := range []string{pushContact + ";expires=3600", plainContact} {
		x := newRefreshing(t, nil)
		x.apply(x.input("c", 1), contact)
		x.w.Input, x.w.Contact = x.input("c", 1), contact
		dst := make([]byte, 0, 2048)
		if n := testing.AllocsPerRun(100, func() {
			x.w.Input.CSeq++
			if _, touched := x.w.Try(x.store, dst[:0], nil); touched != usrloc.TouchDone {
				t.Fatal("declined")
			}
		}); n > 1 { // plainPURR makes one.
			t.Errorf("%s: %v allocations", contact, n)
		}
	}
}

// The cache of announcements is bounded: pn-param is the phone's to choose.
func TestCapCache_Bounded(t *testing.T) {
	p := pushPolicy()
	var c capCache
	for i := range maxCaps + 10 {
		_, ok := c.of(&p, usrloc.Push{Provider: "fcm", Param: fmt.Sprint("p", i), PRID: "t"})
		if ok != (i < maxCaps) {
			t.Fatalf("announcement %d: %v", i, ok)
		}
	}
	if a, ok := c.of(&p, usrloc.Push{Provider: "FCM", Param: "p0", PRID: "t"}); ok {
		t.Errorf("a full cache took %v", a)
	}
	if a, ok := c.of(&p, usrloc.Push{Provider: "fcm", Param: "p7", PRID: "t"}); !ok || a.Provider != "fcm" {
		t.Errorf("of = %v, %v", a, ok)
	}
}
