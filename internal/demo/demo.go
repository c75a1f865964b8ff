// Package demo shows what the server is for: it starts the real server, pretend
// push services and two simulated phones in one process, puts one phone to
// sleep, calls it, and tells the story line by line.
//
// `reveille demo` is its caller. Everything happens on 127.0.0.1, on ports that
// are free, and nothing stays behind.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"reveille/configs"
	"reveille/internal/app"
	"reveille/internal/phone"
	"reveille/push/pushsim"
)

const (
	// limit bounds the whole story, which takes about a second.
	limit = 15 * time.Second
	// stopTime bounds its end: nobody waits for a demonstration.
	stopTime = 2 * time.Second
	// ring and talk are how long Alice lets her phone ring, and how long the two
	// then talk: long enough to be seen in the timeline.
	ring = 300 * time.Millisecond
	talk = 200 * time.Millisecond

	domain   = "example.com"
	password = "demo"
	// token is what the push service knows Alice's phone by.
	token = "demo-token-of-alices-phone"
)

// Options of the demonstration.
type Options struct {
	// Out takes the timeline.
	Out io.Writer
	// Colour writes it with the escape sequences of a terminal.
	Colour bool
	// Fault is how the pretend push service treats the push; the zero value
	// delivers it.
	Fault pushsim.Fault
}

// Run tells the story. It returns nil only if the phone rang, was answered, and
// the call ended in good order; the last line then says how long after the push
// the phone rang. It takes about a second and never more than a few.
//
// The phones need phone.AllowLargeDatagrams, which is the caller's to decide.
func Run(ctx context.Context, o Options) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the story did not end within %s", limit))
	defer cancel()
	s := newStage(o)
	defer func() { err = errors.Join(err, s.clear()) }()
	if err := s.build(ctx, o.Fault); err != nil {
		return fmt.Errorf("set up the demonstration: %w", err)
	}
	return s.play(ctx)
}

// build sets the stage: the push services, the server that uses them, the phones.
func (s *stage) build(ctx context.Context, fault pushsim.Fault) (err error) {
	s.push, err = pushsim.Start(pushsim.Options{OnPush: func(pushsim.Push) { s.delivered(ctx) }})
	if err != nil {
		return err
	}
	s.onClear(s.push.Close)
	s.push.SetFault(token, fault)
	cfg, err := s.config()
	if err != nil {
		return err
	}
	if s.server, err = app.New(app.Options{Config: cfg, Sink: s}); err != nil { //nolint:contextcheck // The server ends with Stop.
		return err
	}
	s.onClear(func() error {
		// Also when the demonstration was interrupted.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		return s.server.Stop(ctx)
	})
	if err := s.server.Start(); err != nil {
		return err
	}
	// Alice's phone keeps a connection, as apps do: the server sees it end.
	s.alice, err = s.phone(phone.Options{
		User: "alice", Server: s.server.Addr("tcp").String(), Transport: "tcp", Ring: ring, On: s.onAlice,
		Push: phone.Push{Provider: "fcm", Param: pushsim.ProjectID, PRID: token},
	})
	if err != nil {
		return err
	}
	s.bob, err = s.phone(phone.Options{User: "bob", Server: s.server.Addr("udp").String(), On: s.onBob})
	return err
}

func (s *stage) phone(o phone.Options) (*phone.Phone, error) {
	o.Domain, o.Password = domain, password
	p, err := phone.New(o)
	if err == nil {
		s.onClear(func() error { p.Close(); return nil })
	}
	return p, err
}

// config is a configuration as an operator would write it, with the credentials
// of the pretend push service in files.
func (s *stage) config() (*configs.Config, error) {
	dir, err := os.MkdirTemp("", "reveille-demo-")
	if err != nil {
		return nil, err
	}
	s.onClear(func() error { return os.RemoveAll(dir) })
	for name, content := range map[string][]byte{
		"ca.pem": s.push.Credentials().CAPEM(), "service-account.json": s.push.ServiceAccountJSON(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf(`
listen:
  - {name: udp, transport: udp, addr: "127.0.0.1:0"}
  - {name: tcp, transport: tcp, addr: "127.0.0.1:0"}
domains: [%[1]s]
http: {addr: ""}
# The story is the same on a busy machine.
overload: {target: 0s}
auth:
  mode: {registrar: required, proxy: required}
  users:
    - {name: alice, password: %[2]s}
    - {name: bob, password: %[2]s}
push:
  wait: {invite: {default: 4s}}
  apps:
    - name: android
      param: %[3]s
      fcm: {service_account_file: service-account.json, endpoint: %[4]q, ca_file: ca.pem}
`, domain, password, pushsim.ProjectID, s.push.FCMEndpoint())
	cfg, _, err := configs.Parse(filepath.Join(dir, "reveille.yaml"), []byte(text), configs.Env{})
	return cfg, err
}
