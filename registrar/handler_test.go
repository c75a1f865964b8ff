package registrar

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"reveille/flow"
	"reveille/internal/event"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

var update = flag.Bool("update", false, "write the answers into testdata")

var _ Exchange = (*transaction.Server)(nil)

// An exchange is a REGISTER whose answer the test waits for.
type exchange struct {
	m      *sipmsg.Message
	f      flow.Flow
	full   bool
	answer chan string
}

func (x *exchange) Message() *sipmsg.Message { return x.m }
func (x *exchange) Flow() flow.Flow          { return x.f }

func (x *exchange) Suspend() func(fn func()) {
	if x.full {
		return nil
	}
	return func(fn func()) { fn() }
}

func (x *exchange) Refuse(r sipmsg.Reply) {
	r.ToTag = "r1"
	x.answer <- string(x.m.AppendReply(nil, r))
}

// counter is a source of "random" bytes that tells bindings apart.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	clear(p)
	c.n++
	p[len(p)-1] = c.n
	return len(p), nil
}

// events collects what was told.
type events []event.Event

func (e *events) Emit(ev event.Event) { *e = append(*e, ev) }

// A server is a Registrar on an in-memory Store.
type server struct {
	*Registrar
	t      *testing.T
	events *events
	log    *bytes.Buffer
	may    func(usrloc.AOR) bool
}

func newServer(t *testing.T, store usrloc.Store) *server {
	t.Helper()
	s := &server{t: t, events: new(events), log: new(bytes.Buffer)}
	r, err := New(Options{
		Store: store, Policy: pushPolicy(), Sink: s.events, StoreTimeout: time.Second,
		Logger: slog.New(slog.NewTextHandler(s.log, nil)), Registerer: prometheus.NewPedanticRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.random = &counter{}
	s.Registrar = r
	return s
}

func (s *server) exchange(request string) *exchange {
	s.t.Helper()
	m, err := sipmsg.Parse([]byte(request), netip.MustParseAddrPort("192.0.2.1:5060"))
	if err != nil {
		s.t.Fatalf("parse %q: %v", request, err)
	}
	return &exchange{m: m, f: flowFrom(5060), answer: make(chan string, 1)}
}

// roundTrip returns the answer to a request on the wire.
func (s *server) roundTrip(request string) string {
	s.t.Helper()
	x := s.exchange(request)
	s.Serve(x, s.may)
	return <-x.answer
}

// TestServe_Golden plays the requests of testdata/*.sip, one Registrar per file.
// A file is a sequence of request, "----", answer, "----". Before a request
// stand comments (#) and directives (@sleep DURATION, @may AOR, @strict).
func TestServe_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.sip")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sip"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			synctest.Test(t, func(t *testing.T) {
				store := usrloc.NewMemory(usrloc.MemoryOptions{})
				defer store.Close()
				got = newServer(t, store).play(string(text))
			})
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(string(text), got); d != "" {
				t.Errorf("%s (-want +got):\n%s", file, d)
			}
		})
	}
}

// play returns script with the answers that it got.
func (s *server) play(script string) string {
	s.t.Helper()
	const separator = "----\n"
	parts := strings.Split(strings.TrimSuffix(script, separator), separator)
	var out strings.Builder
	for i := 0; i < len(parts); i += 2 {
		request := parts[i]
		for strings.HasPrefix(request, "#") || strings.HasPrefix(request, "@") {
			line, rest, _ := strings.Cut(request, "\n")
			s.direct(line)
			request = rest
		}
		answer := s.roundTrip(strings.ReplaceAll(request, "\n", "\r\n"))
		out.WriteString(parts[i] + separator + strings.ReplaceAll(answer, "\r\n", "\n") + separator)
	}
	return out.String()
}

func (s *server) direct(line string) {
	s.t.Helper()
	word, value, _ := strings.Cut(line, " ")
	s.may = nil
	switch word {
	case "@sleep":
		d, err := time.ParseDuration(value)
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d) // in the bubble's time
	case "@may":
		s.may = func(aor usrloc.AOR) bool { return string(aor) == value }
	case "@strict":
		p := *s.Policy()
		p.Path, p.Push.Unsupported = PathStrict, RejectUnsupported
		if err := s.SetPolicy(p); err != nil {
			s.t.Fatal(err)
		}
	}
}

// request is a REGISTER with the given lines.
func request(cseq int, lines ...string) string {
	return fmt.Sprintf("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%d\r\n"+
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: one\r\nCSeq: %d REGISTER\r\n", cseq, cseq) +
		strings.Join(append(lines, "Content-Length: 0"), "\r\n") + "\r\n\r\n"
}

func TestServe_Events(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := usrloc.NewMemory(usrloc.MemoryOptions{})
		defer store.Close()
		s := newServer(t, store)
		phone := `Contact: <sip:a@192.0.2.1;pn-provider=fcm;pn-param=p;pn-prid=secrettoken>;+sip.instance="<urn:x>"`
		s.roundTrip(request(1, phone))
		s.roundTrip(request(2, phone))
		s.roundTrip(request(3, strings.Replace(phone, "192.0.2.1", "192.0.2.2", 1)))
		s.roundTrip(request(2, phone)) // out of order
		s.roundTrip(request(3, strings.Replace(phone, "192.0.2.1", "192.0.2.2", 1)))
		s.roundTrip(request(4))
		s.roundTrip(request(5, phone+";expires=0"))

		base := event.Registration{
			Cause: "register", AOR: string(alice), Contact: "sip:a@192.0.2.1", Instance: "urn:x", Q: -1, Provider: "fcm", Param: "p",
			Wakeable: true, CallID: "one", CSeq: 3, Flow: flowFrom(5060),
		}
		with := func(action string, change func(*event.Registration)) event.Event {
			e := base
			e.Action = action
			if change != nil {
				change(&e)
			}
			return e
		}
		moved := func(e *event.Registration) { e.Contact = "sip:a@192.0.2.2" }
		want := []event.Event{
			with("created", func(e *event.Registration) { e.CSeq = 1 }), with("refreshed", func(e *event.Registration) { e.CSeq = 2 }), with("updated", moved),
			with("refused", func(e *event.Registration) { e.Q, e.CSeq, e.Status, e.Reason = 0, 2, 500, "CSeq Out Of Order" }),
			with("removed", moved),
		}
		if d := cmp.Diff(want, []event.Event(*s.events), cmpopts.IgnoreFields(event.Registration{}, "Binding", "Created", "Expires"), cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
			t.Errorf("events (-want +got):\n%s", d)
		}
		for _, e := range *s.events {
			if strings.Contains(fmt.Sprintf("%+v", e), "secrettoken") {
				t.Errorf("the token is in the event %+v", e)
			}
		}
		for labels, want := range map[[2]string]float64{
			{"inserted", "200"}: 1, {"updated", "200"}: 2, {"deleted", "200"}: 1, {"retransmission", "200"}: 1, {"fetched", "200"}: 1, {"refused", "500"}: 1,
		} {
			if got := testutil.ToFloat64(s.metrics.requests.WithLabelValues(labels[0], labels[1])); got != want {
				t.Errorf("%v requests %v, want %v", labels, got, want)
			}
		}
		for action, want := range map[string]float64{"created": 1, "updated": 2, "removed": 1} {
			if got := testutil.ToFloat64(s.metrics.changes.WithLabelValues(action)); got != want {
				t.Errorf("%s: %v changes, want %v", action, got, want)
			}
		}
	})
}

func TestServe_WarnsOfDeviceForCallsAlone(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	phone := "Contact: <sip:a@h;pn-provider=apns;pn-param=T.b.app.voip;pn-prid=00aa>"
	s.roundTrip(request(1, phone))
	s.roundTrip(request(2, phone))
	if got := s.log.String(); strings.Count(got, "for calls alone") != 1 || !strings.Contains(got, "level=WARN") || strings.Contains(got, "00aa") {
		t.Errorf("want one warning without the token, got\n%s", got)
	}
	if got := testutil.ToFloat64(s.metrics.callsOnly); got != 1 {
		t.Errorf("%v counted, want 1", got)
	}
}

// failing is a Store whose Update fails.
type failing struct {
	usrloc.Store
	err error
}

func (f failing) Update(_ context.Context, _ usrloc.AOR, _ func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	done(usrloc.Record{}, nil, f.err)
}

func TestServe_StoreFails(t *testing.T) {
	tests := []struct {
		err    error
		status string
	}{
		{fmt.Errorf("ask: %w", usrloc.ErrUnavailable), "SIP/2.0 503 Service Unavailable\r\n"},
		{usrloc.ErrFull, "SIP/2.0 503 Service Unavailable\r\n"},
		{usrloc.ErrClosed, "SIP/2.0 503 Service Unavailable\r\n"},
		{context.DeadlineExceeded, "SIP/2.0 503 Service Unavailable\r\n"},
		// RFC 3261 §10.3 step 7: what cannot be committed is a 500.
		{errors.New("disk on fire"), "SIP/2.0 500 Server Internal Error\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.err.Error(), func(t *testing.T) {
			s := newServer(t, failing{err: tt.err})
			got := s.roundTrip(request(1, "Contact: <sip:a@h>"))
			if !strings.HasPrefix(got, tt.status) || strings.Contains(got, "fire") {
				t.Errorf("answer\n%s", got)
			}
			if strings.Contains(got, "503") != strings.Contains(got, "Retry-After: 30\r\n") {
				t.Errorf("Retry-After belongs to a 503:\n%s", got)
			}
			if !strings.Contains(s.log.String(), tt.err.Error()) {
				t.Errorf("the cause is not in the log:\n%s", s.log)
			}
		})
	}
}

func TestServe_TooManySuspended(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	x := s.exchange(request(1, "Contact: <sip:a@h>"))
	x.full = true
	s.Serve(x, nil)
	if got := <-x.answer; !strings.HasPrefix(got, "SIP/2.0 503 ") || !strings.Contains(got, "Retry-After: 30\r\n") {
		t.Errorf("answer\n%s", got)
	}
	if rec, err := store.Get(t.Context(), alice); err != nil || len(rec.Bindings) != 0 {
		t.Errorf("stored %v, %v", rec.Bindings, err)
	}
}

func TestServe_TooManyContacts(t *testing.T) {
	store := usrloc.NewMemory(usrloc.MemoryOptions{})
	defer store.Close()
	s := newServer(t, store)
	got := s.roundTrip(request(1, "Contact: "+strings.TrimSuffix(strings.Repeat("<sip:a@h>,", 101), ",")))
	if !strings.HasPrefix(got, "SIP/2.0 400 Too Many Contacts\r\n") {
		t.Errorf("answer\n%s", got)
	}
}

func TestServe_OthersMayWait(t *testing.T) {
	// The Store answers when it likes; Serve does not wait for it.
	slow := &later{}
	s := newServer(t, slow)
	first, second := s.exchange(request(1, "Contact: <sip:a@h>")), s.exchange(request(2, "Contact: <sip:b@h>"))
	s.Serve(first, nil)
	s.Serve(second, nil)
	if len(first.answer)+len(second.answer) != 0 {
		t.Fatal("answered before the Store did")
	}
	for _, done := range slow.done {
		done()
	}
	for _, x := range []*exchange{first, second} {
		if got := <-x.answer; !strings.HasPrefix(got, "SIP/2.0 200 ") {
			t.Errorf("answer\n%s", got)
		}
	}
}

// later is a Store that commits when told to.
type later struct {
	usrloc.Store
	rec  usrloc.Record
	done []func()
}

func (l *later) Update(_ context.Context, _ usrloc.AOR, fn func(usrloc.Record) (usrloc.Record, error), done func(usrloc.Record, []usrloc.Change, error)) {
	next, err := fn(l.rec)
	l.rec = next
	l.done = append(l.done, func() { done(next, nil, err) })
}

func TestMetrics_Lint(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	newMetrics(reg).refused(403)
	newRefreshMetrics(reg).pushes.WithLabelValues("ok").Inc()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(reg); err != nil || n == 0 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

func TestPushIndicated_RFC8599_5_6_1(t *testing.T) {
	for lines, want := range map[string]bool{
		"":                                    false,
		`Feature-Caps: *;+sip.pns="apns"`:     true,
		`Feature-Caps: * ; +SIP.PNS = "apns"`: true,
		`Feature-Caps: *;+sip.pnsreg="121"`:   false,
		`Feature-Caps: *;+g.x="+sip.pns"`:     false,
		`Feature-Caps: *`:                     false,
		"Feature-Caps: *;+g.x\r\nFeature-Caps: *;+g.y, *;+sip.pns=\"fcm\"": true,
	} {
		var all []string
		if lines != "" {
			all = append(all, lines)
		}
		m, err := sipmsg.Parse([]byte(request(1, all...)), netip.MustParseAddrPort("192.0.2.1:5060"))
		if err != nil {
			t.Fatal(err)
		}
		if got := pushIndicated(m); got != want {
			t.Errorf("%q: %v, want %v", lines, got, want)
		}
	}
}

func TestServe_WholeLifetimeIsShown(t *testing.T) {
	// The Store keeps milliseconds; what it cuts must not cost a second.
	synctest.Test(t, func(t *testing.T) {
		store := usrloc.NewMemory(usrloc.MemoryOptions{})
		defer store.Close()
		time.Sleep(1234567 * time.Nanosecond)
		got := newServer(t, store).roundTrip(request(1, "Contact: <sip:a@h>;expires=600"))
		if !strings.Contains(got, ";expires=600\r\n") {
			t.Errorf("answer\n%s", got)
		}
	})
}

// At the level of Info all is logged but plain refreshes.
func TestAccepted_Heard(t *testing.T) {
	var b bytes.Buffer
	r, err := New(Options{
		Store: usrloc.NewMemory(usrloc.MemoryOptions{}), Policy: pushPolicy(),
		Sink: event.NewLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo}))),
	})
	if err != nil {
		t.Fatal(err)
	}
	was := usrloc.Binding{Contact: "sip:a@b", Expires: birthday}
	moved := usrloc.Binding{Contact: "sip:a@c", Expires: birthday}
	for _, tt := range []struct {
		change usrloc.Change
		want   string
	}{
		{usrloc.Change{Kind: usrloc.Created, New: &was}, "registration created"},
		{usrloc.Change{Kind: usrloc.Updated, Old: &was, New: &was}, ""},
		{usrloc.Change{Kind: usrloc.Updated, Old: &was, New: &moved}, "registration updated"},
		{usrloc.Change{Kind: usrloc.Removed, Old: &was}, "registration removed"},
	} {
		b.Reset()
		r.accepted(&Input{}, &Result{}, []usrloc.Change{tt.change})
		if got := b.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%v: logged %q, want %q", tt.change.Kind, got, tt.want)
		}
	}
}
