//go:build e2e

package e2e

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"reveille/internal/phone"
)

// patience is how long anything may take on a machine that is busy.
const patience = 20 * time.Second

// A client is a phone or a tool and where it can be tested.
type client struct {
	// name begins its rows in docs/interop.md.
	name       string
	transports []string
	// host is what it calls the server in TLS: this machine's name or address.
	host string
	// wait is how long the server waits for it to wake; "" for long.
	wait string
	open func(s *server, transport string) *device
}

// A device is what one client can do as alice, whose password is secret. It
// calls and writes to bob. What is nil, the client cannot do.
type device struct {
	// register returns when the client says that it is registered.
	register, unregister func()
	// sleep is to vanish without a word; wake is what a push does. It may be
	// called from any goroutine.
	token       string
	sleep, wake func()
	// called, if not nil, readies the client for a call, which it answers.
	called func()
	// hungUp waits until the client knows that the other side has hung up.
	hungUp func()
	// call sets up a call. If hangUp is nil, the client hangs up soon.
	call, hangUp func()
	// message sends a text.
	message func(text string)
	// written readies the client for a text and returns what waits for it.
	written func(text string) (wait func())
}

// cells are what the columns of the table in docs/interop.md say.
func (d *device) cells() []bool {
	return []bool{
		d.register != nil, d.sleep != nil, d.wake != nil,
		d.call != nil && d.called != nil, d.message != nil && d.written != nil, d.unregister != nil,
	}
}

// clients are the rows of docs/interop.md that need no browser.
func clients() []client {
	all := []string{"udp", "tcp", "tls"}
	return []client{
		// It finds no address in a certificate.
		{"linphone-daemon", all, "localhost", "", linphoneDevice},
		// It asks name servers alone for names.
		{"baresip", all, "127.0.0.1", "", baresipDevice},
		{"SIPp", all[:2], "", "", sippDevice},
		{"sipsak", all[:2], "", "1s", sipsakDevice},
		{"sipgo", all[:2], "", "", sipgoDevice},
	}
}

// TestInterop takes each client through all that it can do on each transport, and
// the table of the documentation with it. Another phone, bob's, is the other side.
func TestInterop(t *testing.T) {
	rows := interopRows(t)
	for _, c := range clients() {
		for _, transport := range c.transports {
			t.Run(c.name+", "+transport, func(t *testing.T) {
				t.Parallel()
				s := start(t, options{secure: c.host, wait: c.wait})
				d := c.open(s, transport)
				v := &visit{s: s, d: d, bob: newBob(s)}
				v.registers(transport)
				v.calls()
				v.writes()
				v.sleeps()
				v.unregisters()
				if got, want := rows[c.name+", "+transport], d.cells(); !slices.Equal(got, want) {
					t.Errorf("docs/interop.md says %v, want %v", got, want)
				}
			})
		}
	}
}

// interopRows reads which cells of the table in docs/interop.md say that something
// works, by client and transport.
func interopRows(t *testing.T) map[string][]bool {
	t.Helper()
	text, err := os.ReadFile("../../docs/interop.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(line, "| \n"), " | ")
		if len(cells) != 9 || !strings.Contains(cells[8], "test/e2e.TestInterop") {
			continue
		}
		name, _, _ := strings.Cut(cells[0], " ")
		var works []bool
		for _, c := range cells[2:8] {
			works = append(works, c != "–")
		}
		rows[name+", "+strings.ToLower(cells[1])] = works
	}
	return rows
}

// A visit is one client at one server.
type visit struct {
	s   *server
	d   *device
	bob *bob
}

func (v *visit) registers(transport string) {
	v.d.register()
	v.s.eventually("alice is registered", patience, func() bool {
		return v.s.logged(`msg="registration created" .*aor=sip:alice@example\.com .*flow=` + transport + ":")
	})
}

func (v *visit) calls() {
	if v.d.called != nil {
		v.d.called()
		v.bob.hangUp(v.bob.call())
		v.d.hungUp()
	}
	if v.d.call == nil {
		return
	}
	up, down := v.bob.Count(phone.Confirmed), v.bob.Count(phone.Ended)
	v.d.call()
	v.s.eventually("bob is called", patience, func() bool { return v.bob.Count(phone.Confirmed) > up })
	if v.d.hangUp != nil {
		v.d.hangUp()
	}
	v.s.eventually("alice hangs up", patience, func() bool { return v.bob.Count(phone.Ended) > down })
}

func (v *visit) writes() {
	if v.d.message != nil {
		v.d.message("from-alice")
		v.s.eventually("alice's text arrives", patience, func() bool { return v.bob.read("from-alice") })
	}
	if v.d.written != nil {
		wait := v.d.written("from-bob")
		v.bob.write("from-bob")
		wait()
	}
}

func (v *visit) sleeps() {
	if v.d.sleep == nil {
		return
	}
	pushed := make(chan struct{}, 1)
	v.s.onPush(v.d.token, func() {
		pushed <- struct{}{}
		if v.d.wake != nil {
			v.d.wake()
		}
	})
	v.d.sleep()
	if v.d.wake != nil {
		v.bob.hangUp(v.bob.call())
		v.d.hungUp()
	} else {
		ctx, cancel := context.WithTimeout(v.s.t.Context(), patience)
		defer cancel()
		if _, err := v.bob.Call(ctx, "sip:alice@example.com"); err == nil {
			v.s.t.Error("who answered bob?")
		}
	}
	select {
	case <-pushed:
	case <-time.After(patience):
		v.s.t.Fatal("no push")
	}
}

// logged reports whether the server's log has a line that an expression matches.
func (s *server) logged(expression string) bool {
	return regexp.MustCompile(expression).MatchString(s.log.String())
}

// A phone that has unregistered is not called.
func (v *visit) unregisters() {
	v.d.unregister()
	v.s.eventually("alice is not registered", patience, func() bool {
		return v.s.logged(`msg="registration removed" .*aor=sip:alice@example\.com .*cause=register`)
	})
}

// bob is a phone at the other side of everything. It answers calls.
type bob struct {
	*phone.Phone
	s *server

	mu    sync.Mutex
	texts []string
}

func newBob(s *server) *bob {
	s.t.Helper()
	b := &bob{s: s}
	b.Phone = s.phone(phone.Options{User: "bob", On: b.on})
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if err := b.Register(ctx); err != nil {
		s.t.Fatal(err)
	}
	return b
}

// phone returns one of our own phones. They stand on another SIP stack, sipgo.
func (s *server) phone(o phone.Options) *phone.Phone {
	s.t.Helper()
	o.Domain, o.Password, o.Server = "example.com", "secret", s.addr
	p, err := phone.New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	return p
}

func (b *bob) on(e phone.Event) {
	if e.Kind != phone.Messaged {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.texts = append(b.texts, e.Body)
}

func (b *bob) read(text string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.texts, text)
}

// call returns alice's answer.
func (b *bob) call() *phone.Call {
	b.s.t.Helper()
	ctx, cancel := context.WithTimeout(b.s.t.Context(), patience)
	defer cancel()
	c, err := b.Call(ctx, "sip:alice@example.com")
	if err != nil {
		b.s.t.Fatalf("bob's call: %v", err)
	}
	return c
}

func (b *bob) hangUp(c *phone.Call) {
	b.s.t.Helper()
	ctx, cancel := context.WithTimeout(b.s.t.Context(), patience)
	defer cancel()
	if err := c.Bye(ctx); err != nil {
		b.s.t.Fatalf("bob hangs up: %v", err)
	}
}

func (b *bob) write(text string) {
	b.s.t.Helper()
	ctx, cancel := context.WithTimeout(b.s.t.Context(), patience)
	defer cancel()
	if err := b.Message(ctx, "sip:alice@example.com", text); err != nil {
		b.s.t.Fatalf("bob's text: %v", err)
	}
}
