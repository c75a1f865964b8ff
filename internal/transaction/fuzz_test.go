package transaction

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reveille/flow"
	"reveille/internal/modeltest"
	"reveille/internal/sipmsg"
)

// A mill works off a script of events on a layer and checks, while it does, what
// must hold for every script.
type mill struct {
	*rig
	script []byte

	servers []*Server
	clients []*Client
	resume  []func(func())
	finals  map[*Client]int  // final responses other than 2xx to INVITE
	ended   map[*Client]bool // Failed was called
	fail    bool             // the next call of the user panics

	lock sync.Mutex // guards all of the above against the queues
}

func (m *mill) next(n int) int {
	if len(m.script) == 0 {
		return 0
	}
	b := m.script[0]
	m.script = m.script[1:]
	return int(b) % n
}

func (m *mill) stumble() {
	if m.fail {
		m.fail = false
		panic("stumble")
	}
}

func (m *mill) Request(s *Server) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.servers = append(m.servers, s)
	m.stumble()
}

func (m *mill) Ack(*Queue, flow.Flow, *sipmsg.Message) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.stumble()
}

func (m *mill) Cancel(s *Server, _ *sipmsg.Message) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if s.Done() || !s.invite() {
		m.t.Error("Cancel was called for what cannot be cancelled")
	}
	m.stumble()
}

func (m *mill) Stray(flow.Flow, *sipmsg.Message) {}

func (m *mill) Response(c *Client, r *sipmsg.Message) {
	m.lock.Lock()
	defer m.lock.Unlock()
	code := r.Status()
	if code >= 200 && !(c.invite() && code < 300) {
		m.finals[c]++
	}
	if m.finals[c] > 1 || m.ended[c] {
		m.t.Errorf("response %d to %s behind its end", code, c.Message().Method())
	}
	m.stumble()
}

func (m *mill) Failed(c *Client, _ error) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.ended[c] || m.finals[c] != 0 || !c.Done() {
		m.t.Errorf("%s failed behind its end", c.Message().Method())
	}
	m.ended[c] = true
	m.stumble()
}

// step does the next thing of the script.
func (m *mill) step() {
	flows := []flow.Flow{udpCaller, tcpCaller}
	codes := []int{100, 180, 183, 200, 202, 302, 408, 486, 503, 603}
	switch m.next(12) {
	case 0, 1: // a request, perhaps once more
		f, n := flows[m.next(2)], m.next(4)
		method := []string{"INVITE", "MESSAGE", "ACK", "CANCEL"}[m.next(4)]
		q := rq{method: method, via: branch(n), callID: fmt.Sprint(n % 2), toTag: []string{"", "bob"}[m.next(2)]}
		if m.next(4) == 0 {
			q.via = "SIP/2.0/UDP old.example"
		}
		m.layer.Receive(f, q.on(m.t, f))
	case 2, 3: // a response of the user
		if len(m.servers) > 0 {
			s, code := m.servers[m.next(len(m.servers))], codes[m.next(len(codes))]
			refuse := m.next(4) == 0
			s.Post(func() {
				if refuse {
					s.Refuse(reply(401))
				} else {
					s.Reply(reply(code))
				}
			})
		}
	case 4: // a request of the user
		f, n := []flow.Flow{udpPhone, tcpPhone}[m.next(2)], len(m.clients)
		q := rq{method: []string{"INVITE", "MESSAGE"}[m.next(2)], callID: fmt.Sprint(n % 2), via: branch(1000 + n)}
		queue := m.layer.Queue(q.callID)
		queue.Post(func() {
			c, err := queue.NewClient(f, []byte(q.text()), m)
			m.lock.Lock()
			defer m.lock.Unlock()
			if err == nil {
				m.clients = append(m.clients, c)
			}
		})
	case 5, 6: // a response of a phone
		if len(m.clients) > 0 {
			c, code := m.clients[m.next(len(m.clients))], codes[m.next(len(codes))]
			m.layer.Receive(c.Flow(), m.parse(c.Flow(), c.Message().AppendReply(nil, reply(code))))
		}
	case 7:
		if len(m.clients) > 0 {
			c, abandon := m.clients[m.next(len(m.clients))], m.next(3) == 0
			c.Queue().Post(func() {
				if abandon {
					c.Abandon()
				} else {
					c.Cancel()
				}
			})
		}
	case 8:
		m.advance([]time.Duration{0, time.Millisecond, 400 * time.Millisecond, 3 * time.Second, 33 * time.Second, 190 * time.Second}[m.next(6)])
	case 9: // suspend a key or resume one
		if n := len(m.resume); n > 0 && m.next(2) == 0 {
			if fn := m.resume[n-1]; fn != nil {
				fn(nil)
			}
			m.resume = m.resume[:n-1]
		} else if len(m.servers) > 0 {
			s := m.servers[m.next(len(m.servers))]
			s.Post(func() {
				m.lock.Lock()
				defer m.lock.Unlock()
				m.resume = append(m.resume, s.Suspend())
			})
		}
	case 10:
		m.layer.FlowClosed([]flow.Flow{tcpPhone, tcpCaller}[m.next(2)])
	case 11:
		switch m.next(3) {
		case 0:
			m.setDown(true)
		case 1:
			m.setDown(false)
		case 2:
			m.lock.Lock()
			m.fail = true
			m.lock.Unlock()
		}
	}
	synctest.Wait()
}

// FuzzLifecycle: whatever happens in whatever order, no transaction is told
// anything behind its end, and when all requests are answered nothing is left.
func FuzzLifecycle(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x02\x00\x03\x00\x00\x00\x02\x01\x01"))
	f.Add([]byte("\x04\x00\x00\x05\x00\x01\x07\x00\x00\x05\x00\x07\x08\x04"))
	f.Add([]byte("an INVITE, a branch, a phone that rings, and a caller who thinks better of it"))
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) <= 1000 {
			synctest.Test(t, func(t *testing.T) { grind(t, script) })
		}
	})
}

// TestLifecycle_RandomScripts is FuzzLifecycle on long random scripts, the same
// in every run.
func TestLifecycle_RandomScripts(t *testing.T) {
	source := rand.NewChaCha8([32]byte{})
	for n := range modeltest.Seeds(t, 50) {
		script := make([]byte, 500)
		source.Read(script)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { grind(t, script) })
		})
	}
}

func grind(t *testing.T, script []byte) {
	m := &mill{
		rig: newRig(t, Options{MaxSuspended: 3, MaxHeld: 2}), script: script,
		finals: map[*Client]int{}, ended: map[*Client]bool{},
	}
	m.layer.o.User = m
	for len(m.script) > 0 {
		m.step()
	}
	m.setDown(false)
	m.lock.Lock()
	m.fail = false
	m.lock.Unlock()
	for len(m.resume) > 0 {
		if fn := m.resume[0]; fn != nil {
			fn(nil)
		}
		m.resume = m.resume[1:]
		synctest.Wait()
	}
	for i := 0; i < len(m.servers); i++ {
		s := m.servers[i]
		s.Post(func() { s.Reply(reply(480)) })
	}
	m.advance(10 * time.Minute)
	m.checkEmpty()
}
