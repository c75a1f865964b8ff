package flows

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reveille/configs"
	"reveille/internal/app"
	"reveille/push/pushsim"
)

// A stage is a server, its push service, and the phones of a flow.
type stage struct {
	t      *testing.T
	file   string
	app    *app.App
	sim    *pushsim.Server
	pushes chan pushsim.Push
	phones []*phone
	v      values
	update *update // nil compares only
}

// common is the configuration of all flows; a flow's own keys replace it. A phone
// that is awake is not pushed if it takes its time: a slow machine must not change
// a flow.
const common = `listen: [{name: udp, transport: udp, addr: "127.0.0.1:0"}, {name: tcp, transport: tcp, addr: "127.0.0.1:0"}]
domains: [example.com]
http: {addr: ""}
auth: {mode: {registrar: "off", proxy: "off"}}
overload: {target: 0s}
push: {apps: @apps, policy: {default: asleep}}`

func newStage(t *testing.T, file string, s *script) *stage {
	t.Helper()
	st := &stage{t: t, file: file, pushes: make(chan pushsim.Push, 100), v: values{"project": pushsim.ProjectID}}
	var err error
	if st.sim, err = pushsim.Start(pushsim.Options{OnReceive: func(p pushsim.Push) { st.pushes <- p }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.sim.Close() })
	for _, step := range s.steps {
		if step.actor == "phone" {
			if err := st.newPhone(step.verb, step.args); err != nil {
				t.Fatalf("%s:%d: %v", file, step.line, err)
			}
		}
	}
	if st.app, err = app.New(app.Options{Config: st.config(s.config), Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if err := st.app.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if t.Failed() {
			cancel() // What still waits will not end.
		}
		if err := st.app.Stop(ctx); err != nil && !t.Failed() {
			t.Errorf("Stop = %v", err)
		}
	})
	for _, transport := range []string{"udp", "tcp"} {
		st.v[transport] = st.app.Addr(transport).String()
	}
	for _, p := range st.phones {
		if udp, ok := p.conn.(*bound); ok {
			udp.server = st.app.Addr("udp")
			continue
		}
		if err := p.wake(st.v); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// config is common with lines in place of those with the same key. "@apps" stands
// for the credential of the pretend push service.
func (st *stage) config(own string) *configs.Config {
	st.t.Helper()
	dir := st.t.TempDir()
	for name, content := range map[string][]byte{"ca.pem": st.sim.Credentials().CAPEM(), "fcm.json": st.sim.ServiceAccountJSON()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			st.t.Fatal(err)
		}
	}
	own, err := st.v.fill(own)
	if err != nil {
		st.t.Fatal(err)
	}
	text := own + "\n"
	for line := range strings.SplitSeq(common, "\n") {
		key, _, _ := strings.Cut(line, ":")
		if !strings.HasPrefix(own, key+":") && !strings.Contains(own, "\n"+key+":") {
			text += line + "\n"
		}
	}
	apps := fmt.Sprintf(`[{name: android, param: %s, fcm: {service_account_file: fcm.json, endpoint: %q, ca_file: ca.pem}}]`,
		pushsim.ProjectID, st.sim.FCMEndpoint())
	cfg, _, err := configs.Parse(filepath.Join(dir, "reveille.yaml"), []byte(strings.ReplaceAll(text, "@apps", apps)), configs.Env{})
	if err != nil {
		st.t.Fatal(err)
	}
	return cfg
}

// play plays all steps and looks for what nobody expects.
func (st *stage) play(s *script) {
	st.t.Helper()
	for _, step := range s.steps {
		if err := st.step(step); err != nil {
			st.t.Fatalf("%s:%d: %s %s: %v", st.file, step.line, step.actor, step.verb, err)
		}
	}
	for _, p := range st.phones {
		if p.conn == nil {
			continue
		}
		if err := st.quiet(p); err != nil {
			st.t.Errorf("%s: at the end: %v", st.file, err)
		}
	}
	select {
	case p := <-st.pushes:
		st.t.Errorf("%s: at the end: a push more:\n%s", st.file, strings.Join(pushed(p), "\n"))
	default:
	}
}

func (st *stage) step(s step) error {
	switch {
	case s.actor == "phone":
		return nil // It was made before the server.
	case s.actor == "push" && s.verb == "receives":
		return st.push(s)
	case s.actor == "push" && s.verb == "answers" && len(s.args) == 2 && s.args[1] == "gone":
		st.sim.SetFault(s.args[0], pushsim.Fault{Kind: pushsim.Gone})
		return nil
	}
	for _, p := range st.phones {
		if p.name != s.actor {
			continue
		}
		switch s.verb {
		case "sends":
			message, err := st.v.write(s.block)
			if err != nil {
				return err
			}
			return p.send(message)
		case "receives":
			message, err := p.receive()
			if err != nil {
				return err
			}
			return st.compare(s, lines(message))
		case "sleeps":
			return p.sleep()
		case "wakes":
			return p.wake(st.v)
		}
	}
	return fmt.Errorf("nobody knows how")
}

func (st *stage) newPhone(name string, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("over which transport?")
	}
	p := &phone{name: name, transport: args[0]}
	st.phones = append(st.phones, p)
	st.t.Cleanup(func() {
		if p.conn != nil {
			p.conn.Close()
		}
	})
	if p.transport == "udp" {
		return p.bind(st.v)
	}
	return nil
}

func (st *stage) compare(s step, got []string) error {
	want := make([]string, len(s.block))
	for i, line := range s.block {
		want[i] = strings.ReplaceAll(line, "{length}", fmt.Sprint(bodyOf(s.block)))
	}
	diff := st.v.compare(want, got)
	if diff == "" {
		return nil
	}
	if st.update != nil {
		st.update.replace(s, st.v, got)
		return nil
	}
	return fmt.Errorf("the message differs (-want +got):\n%s\nIt is:\n%s", diff, strings.Join(got, "\n"))
}

// push compares the next push.
func (st *stage) push(s step) error {
	select {
	case p := <-st.pushes:
		return st.compare(s, pushed(p))
	case <-time.After(patience):
		return fmt.Errorf("no push came")
	}
}

// pushed shows a push as a message.
func pushed(p pushsim.Push) []string {
	return []string{p.Provider + " " + p.Token, "Priority: " + p.Priority, fmt.Sprintf("Answer: %d %s", p.Status, p.Reason), "", p.Payload}
}

// quiet has p ask the server for its abilities: nothing else may be on the way to
// it.
func (st *stage) quiet(p *phone) error {
	addr := p.conn.LocalAddr().String()
	err := p.send("OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/" + strings.ToUpper(p.transport) + " " + addr + ";branch=z9hG4bKfence;rport\r\n" +
		"Max-Forwards: 70\r\nFrom: <sip:" + p.name + "@example.com>;tag=fence\r\nTo: <sip:example.com>\r\nCall-ID: fence-" + p.name + "\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n")
	if err != nil {
		return err
	}
	m, err := p.receive()
	if err == nil && !strings.Contains(m, "\r\nCall-ID: fence-"+p.name+"\r\n") {
		return fmt.Errorf("%s received one message more:\n%s", p.name, m)
	}
	return err
}
