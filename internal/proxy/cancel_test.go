package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reveille/push"
)

// A cancelStep is what happens, and what is sent because of it.
//
//	cancel        the caller's CANCEL arrives
//	180 1         phone 1 answers its INVITE
//	ok 1          phone 1 answers its CANCEL with 200, "gone 1" with 481
//	register 1    phone 1 registers where it was, "move 1" elsewhere
//	taken, dead   the push service takes the push, or says that the token is dead
//	32s           so much time passes
type cancelStep struct{ do, sent string }

// Every order of a CANCEL and what it may cross (RFC 3261 §9, §16.10). INVITE, CANCEL and
// ACK with a number go to that phone, a bare number to the caller.
func TestCancel_EveryOrder_RFC3261_16_10(t *testing.T) {
	const awake, asleep, race = "awake", "asleep", "race"
	both := Options{}
	tests := []struct {
		name    string
		phones  []string
		options Options
		steps   []cancelStep
	}{
		{"before 100", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"},
			{"cancel", "200"},
			{"180 1", "CANCEL 1, 180"},
			{"ok 1", ""},
			{"487 1", "ACK 1, 487"},
		}},
		{"behind 100", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"100 1", ""}, {"cancel", "200, CANCEL 1"}, {"ok 1", ""}, {"487 1", "ACK 1, 487"},
		}},
		{"while it rings", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"ok 1", ""}, {"487 1", "ACK 1, 487"},
		}},
		{"the phone is never heard of", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"cancel", "200"}, {"33s", "487"},
		}},
		{"the phone does not end its INVITE", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"ok 1", ""}, {"33s", "487"},
		}},
		{"the phone answers with another failure", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"486 1", "ACK 1, 487"}, {"gone 1", ""},
		}},
		{"the phone declines for its user", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"603 1", "ACK 1, 603"}, {"gone 1", ""},
		}},
		{"crosses a 200", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"200 1", "200"}, {"gone 1", ""},
		}},
		{"crosses a 200 that is the first answer", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"cancel", "200"}, {"200 1", "200"},
		}},
		{"behind a 200", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"200 1", "200"}, {"cancel", "200"},
		}},
		{"behind a failure", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"486 1", "ACK 1, 486"}, {"cancel", "200"},
		}},
		{"twice", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"cancel", "200"}, {"ok 1", ""}, {"487 1", "ACK 1, 487"},
		}},
		{"without an INVITE", nil, both, []cancelStep{{"cancel", "481"}}},
		{"of two phones, one of which was heard of", []string{awake, awake}, both, []cancelStep{
			{"invite", "INVITE 1, INVITE 2"},
			{"180 1", "180"},
			{"cancel", "200, CANCEL 1"},
			{"ok 1", ""},
			{"487 1", "ACK 1"},
			{"180 2", "CANCEL 2, 180"},
			{"ok 2", ""},
			{"487 2", "ACK 2, 487"},
		}},
		{"of two phones, one of which answers", []string{awake, awake}, both, []cancelStep{
			{"invite", "INVITE 1, INVITE 2"},
			{"180 1", "180"},
			{"180 2", "180"},
			{"cancel", "200, CANCEL 1, CANCEL 2"},
			{"ok 1", ""},
			{"200 2", "200"},
			{"gone 2", ""},
			{"487 1", "ACK 1"},
		}},
		{"while parked, before the push is taken", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"cancel", "200, 487"}, {"taken", ""}, {"register 1", ""},
		}},
		{"between push and REGISTER", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"taken", ""}, {"cancel", "200, 487"}, {"register 1", ""}, {"30s", ""},
		}},
		{"as the push fails", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"cancel", "200, 487"}, {"dead", ""},
		}},
		{"behind a push that failed", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"dead", "480"}, {"cancel", "200"},
		}},
		{"behind the wait", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"taken", ""}, {"25s", "480"}, {"cancel", "200"}, {"register 1", ""},
		}},
		{"behind the REGISTER", []string{asleep}, both, []cancelStep{
			{"invite", ""},
			{"taken", ""},
			{"register 1", "INVITE 1"},
			{"cancel", "200"},
			{"180 1", "CANCEL 1, 180"},
			{"ok 1", ""},
			{"487 1", "ACK 1, 487"},
		}},
		{"of a phone that woke and answers at once", []string{asleep}, both, []cancelStep{
			{"invite", ""}, {"taken", ""}, {"move 1", "INVITE 1"}, {"cancel", "200"}, {"200 1", "200"},
		}},
		{"one rings, one is parked", []string{awake, asleep}, both, []cancelStep{
			{"invite", "INVITE 1"},
			{"180 1", "180"},
			{"cancel", "200, CANCEL 1"},
			{"register 2", ""},
			{"ok 1", ""},
			{"487 1", "ACK 1, 487"},
			{"move 2", ""},
		}},
		{"in a race, before the push", []string{race}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"cancel", "200"}, {"400ms", ""}, {"100 1", "CANCEL 1"}, {"ok 1", ""}, {"487 1", "ACK 1, 487"},
		}},
		{"in a race, behind the push", []string{race}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"400ms", ""}, {"cancel", "200"}, {"move 1", ""}, {"33s", "487"},
		}},
		{"in a race, behind the move", []string{race}, both, []cancelStep{
			{"invite", "INVITE 1"},
			{"400ms", ""},
			{"move 1", "INVITE 1"},
			{"cancel", "200"},
			{"180 1", "CANCEL 1, 180"},
			{"ok 1", ""},
			{"487 1", "ACK 1, 487"},
		}},
		{"the next in sequence is not called", []string{awake, awake}, Options{Fork: Sequential, Sort: ByRecent}, []cancelStep{
			{"invite", "INVITE 2"}, {"180 2", "180"}, {"cancel", "200, CANCEL 2"}, {"ok 2", ""}, {"487 2", "ACK 2, 487"},
		}},
		{"nor is who joins", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"180 1", "180"}, {"cancel", "200, CANCEL 1"}, {"join", ""}, {"ok 1", ""}, {"487 1", "ACK 1, 487"},
		}},
		{"and nothing to a phone that times out", []string{awake}, both, []cancelStep{
			{"invite", "INVITE 1"}, {"33s", "480"}, {"cancel", "200"}, {"180 1", ""},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Policy = func(string, string) Mode { return Race }
			inWorld(t, tt.options, func(w *world) {
				c := &cancelling{world: w, invites: map[int]sent{}, cancels: map[int]sent{}}
				for i, kind := range tt.phones {
					c.add(i+1, kind == awake, kind == asleep)
				}
				for i, step := range tt.steps {
					c.do(step.do)
					if got := c.names(); got != step.sent {
						t.Fatalf("step %d, %s: sent %q, want %q", i, step.do, got, step.sent)
					}
				}
				if finals := c.finals; finals > 1 {
					t.Errorf("%d final answers, want one", finals)
				}
				// What has not ended ends by its timers.
			})
		})
	}
}

// cancelling plays the steps of a cancelStep.
type cancelling struct {
	*world
	phones           []*phone
	invites, cancels map[int]sent
	finals           int
}

func (c *cancelling) add(n int, awake, sleeps bool) {
	provider := "fcm"
	if awake {
		provider = ""
	}
	p := c.newPhone("alice", tcp(fmt.Sprintf("198.51.100.%d:5060", n), uint64(n)), provider)
	time.Sleep(time.Millisecond)
	c.register(p)
	if sleeps {
		c.sleeps(p)
	}
	c.phones = append(c.phones, p)
}

func (c *cancelling) do(step string) {
	c.t.Helper()
	what, arg, _ := strings.Cut(step, " ")
	n, _ := strconv.Atoi(arg)
	switch what {
	case "invite":
		c.recv(caller, request("INVITE", "sip:alice@example.com", "c1"))
	case "cancel":
		c.recv(caller, cancelOf("c1"))
	case "register":
		time.Sleep(time.Millisecond)
		c.register(c.phones[n-1])
	case "move":
		p := c.phones[n-1]
		p.flow = tcp(fmt.Sprintf("198.51.100.%d:6060", n), uint64(n+10))
		c.register(p)
	case "join":
		c.register(c.newPhone("alice", udp("198.51.100.9:5060"), ""))
	case "taken":
		c.outcome(c.pushCount(1), push.OK)
	case "dead":
		c.outcome(c.pushCount(1), push.Gone)
	case "ok":
		c.reply(c.cancels[n], 200)
	case "gone":
		c.reply(c.cancels[n], 481)
	default:
		if status, err := strconv.Atoi(what); err == nil {
			c.reply(c.invites[n], status)
			return
		}
		d, err := time.ParseDuration(what)
		if err != nil {
			c.t.Fatalf("step %q: %v", step, err)
		}
		time.Sleep(d)
		synctest.Wait()
	}
}

// names are the messages that were sent since the last call, without 100 and repetitions
// of an answer.
func (c *cancelling) names() string {
	var names []string
	for _, s := range c.take() {
		n := 0
		if s.flow != caller {
			fmt.Sscanf(s.flow.Remote.Addr().String(), "198.51.100.%d", &n)
		}
		switch {
		case s.m.Status() == 100:
			continue
		case s.m.IsRequest() && s.m.Method() == "INVITE":
			c.invites[n] = s
		case s.m.IsRequest() && s.m.Method() == "CANCEL":
			c.cancels[n] = s
		case s.m.Status() >= 300 && s.m.CSeq().Method == "INVITE":
			// Nobody acknowledges it, so that it is repeated.
			name := strconv.Itoa(s.m.Status())
			if len(names) > 0 && names[len(names)-1] == name || c.finals > 0 {
				continue
			}
			c.finals++
		case s.m.Status() >= 200 && s.m.CSeq().Method == "INVITE":
			c.finals++
		}
		name := strconv.Itoa(s.m.Status())
		if s.m.IsRequest() {
			name = fmt.Sprintf("%s %d", s.m.Method(), n)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}
