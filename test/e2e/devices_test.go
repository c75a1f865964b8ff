//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"reveille/internal/phone"
)

func linphoneDevice(s *server, transport string) *device {
	p := s.linphone("alice", transport, "tok:secret-token-interop", true)
	return &device{
		register:   func() { p.register() },
		unregister: func() { p.do("unregister ALL") },
		token:      p.token,
		sleep:      p.kill,
		wake:       p.wake,
		called:     func() {},
		hungUp:     func() { s.eventually("linphone hangs up, too", patience, p.idle) },
		call:       func() { p.do("call sip:bob@example.com") },
		hangUp:     func() { p.do("terminate") },
		message:    func(text string) { p.do("message sip:bob@example.com " + text) },
		written: func(text string) func() {
			return func() {
				s.eventually("linphone reads", patience, func() bool { return strings.Contains(p.wire(), text) })
			}
		},
	}
}

func baresipDevice(s *server, transport string) *device {
	var b *baresip
	closed := 0
	hungUp := func() {
		closed++
		s.eventually("baresip ends the call", patience, func() bool {
			return strings.Count(b.out.String(), "session closed")+strings.Count(b.out.String(), "terminated (duration") >= closed
		})
	}
	return &device{
		register: func() {
			b = s.baresip("alice", transport)
			b.do("answermode", "auto")
		},
		unregister: func() { b.do("quit", "") },
		called:     func() {},
		hungUp:     hungUp,
		call:       func() { b.do("dial", "sip:bob@example.com") },
		hangUp:     func() { b.do("hangup", "") },
		message: func(text string) {
			b.do("contact_next", "")
			b.do("message", text)
		},
		written: func(text string) func() {
			return func() {
				s.eventually("baresip reads", patience, func() bool { return strings.Contains(b.out.String(), text) })
			}
		},
	}
}

// sippDevice is a phone of several processes, one after the other on one port.
func sippDevice(s *server, transport string) *device {
	port := freePort(s.t)
	args := []string{"-p", fmt.Sprint(port), "-t", transport[:1] + "1"}
	run := func(scenario string, more ...string) { s.sipp(scenario, append(args, more...)...) }
	var wait func()
	serve := func(scenario string) {
		wait = s.sippStart(scenario, args...)
		s.eventually("sipp listens", patience, func() bool { return !free(transport, fmt.Sprintf("127.0.0.1:%d", port)) })
	}
	return &device{
		register:   func() { run("register.xml", "-key", "expires", "600", "-auth_uri", "example.com") },
		unregister: func() { run("register.xml", "-key", "expires", "0", "-auth_uri", "example.com") },
		called:     func() { serve("callee.xml") },
		hungUp:     func() { wait() },
		call:       func() { run("caller.xml", "-auth_uri", "bob@example.com") },
		message:    func(text string) { run("message.xml", "-key", "text", text, "-auth_uri", "bob@example.com") },
		written: func(string) func() {
			serve("receiver.xml")
			return wait
		},
	}
}

// free reports whether nobody listens at an address.
func free(transport, addr string) bool {
	if transport == "tcp" {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return false
		}
		l.Close()
		return true
	}
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func sipsakDevice(s *server, transport string) *device {
	const token = "tok:secret-token-sipsak"
	run := func(args ...string) {
		args = append([]string{"-i", "-v", "-p", s.addr, "-E", transport, "-u", "alice", "-a", "secret"}, args...)
		if out, err := exec.CommandContext(s.t.Context(), "sipsak", args...).CombinedOutput(); err != nil {
			s.t.Fatalf("sipsak %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// It writes what it is given: without <> the parameters were the field's.
	contact := fmt.Sprintf("<sip:alice@127.0.0.1:%d;transport=%s;pn-provider=fcm;pn-param=demo-project;pn-prid=%s>", freePort(s.t), transport, token)
	usrloc := func(expires string) func() {
		return func() { run("-U", "-C", contact, "-x", expires, "-s", "sip:alice@example.com") }
	}
	return &device{
		register:   usrloc("600"),
		unregister: usrloc("0"),
		token:      token,
		sleep:      func() {},
	}
}

func sipgoDevice(s *server, transport string) *device {
	const token = "tok:secret-token-sipgo"
	a := &bob{s: s} // the same phone, seen from the other side
	a.Phone = s.phone(phone.Options{
		User: "alice", Transport: transport, On: a.on,
		Push: phone.Push{Provider: "fcm", Param: "demo-project", PRID: token},
	})
	must := func(do func(context.Context) error) func() {
		return func() {
			ctx, cancel := context.WithTimeout(s.t.Context(), patience)
			defer cancel()
			if err := do(ctx); err != nil {
				s.t.Error(err)
			}
		}
	}
	var c *phone.Call
	return &device{
		register:   must(a.Register),
		unregister: must(a.Unregister),
		token:      token,
		sleep:      a.Sleep,
		wake:       must(a.Wake),
		called:     func() {},
		hungUp:     func() { s.eventually("the phone ends the call", patience, func() bool { return len(a.Calls()) == 0 }) },
		call: must(func(ctx context.Context) (err error) {
			c, err = a.Call(ctx, "sip:bob@example.com")
			return err
		}),
		hangUp: must(func(ctx context.Context) error { return c.Bye(ctx) }),
		message: func(text string) {
			must(func(ctx context.Context) error { return a.Message(ctx, "sip:bob@example.com", text) })()
		},
		written: func(text string) func() {
			return func() { s.eventually("the phone reads", patience, func() bool { return a.read(text) }) }
		},
	}
}
