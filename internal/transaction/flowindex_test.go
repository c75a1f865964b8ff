package transaction

import (
	"sync"
	"sync/atomic"
	"testing"

	"reveille/flow"
	"reveille/internal/sipmsg"
)

// A line is a connection that somebody closes while requests are sent on it.
type line struct {
	quietUser
	mu     sync.Mutex
	closed map[flow.Flow]bool
	failed atomic.Int64
}

func (l *line) Send(f flow.Flow, _ []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed[f] {
		return errDown
	}
	return nil
}

func (l *line) close(f flow.Flow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed[f] = true
}

func (l *line) Failed(*Client, error) { l.failed.Add(1) }

func (l *line) Response(*Client, *sipmsg.Message) {}

// However the end of a connection and a new request on it meet: either the send
// fails, or the transaction is told. None waits for a response that cannot come.
func TestFlowClosed_NoClientOutlivesItsConnection(t *testing.T) {
	l := &line{closed: map[flow.Flow]bool{}}
	layer := New(Options{Sender: l, User: l, Queues: 2})
	layer.Start()
	wire := []byte(rq{via: branch(1)}.text())
	q := layer.Queue("call")
	sent := 0
	for n := range 2000 {
		f := tcpPhone
		f.Conn = uint64(n)
		var both sync.WaitGroup
		both.Add(2)
		q.Post(func() {
			defer both.Done()
			if _, err := q.NewClient(f, wire, l); err == nil {
				sent++
			}
		})
		go func() {
			defer both.Done()
			l.close(f)
			layer.FlowClosed(f)
		}()
		both.Wait()
		q.Post(func() {
			if len(q.clients) != 0 {
				t.Errorf("connection %d: a client lives on", n)
			}
			clear(q.clients) // so that the branch may be used again
		})
	}
	if err := layer.Stop(t.Context()); err != nil {
		t.Errorf("Stop() = %v, want nil", err)
	}
	if got := l.failed.Load(); got != int64(sent) {
		t.Errorf("%d of %d clients were told of their connection's end", got, sent)
	}
}

// hastySender loses the connection right behind the bytes.
type hastySender struct{ r *rig }

func (h hastySender) Send(f flow.Flow, _ []byte) error {
	h.r.layer.FlowClosed(f)
	return nil
}

func TestFlowClosed_BehindTheSend(t *testing.T) {
	bubble(t, Options{}, func(r *rig) {
		r.layer.o.Sender = hastySender{r}
		r.client(tcpPhone, "INVITE")
		r.expect("0s failed transport")
	})
}

func TestFlowIndex_RemovesFromAnyPlace(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		x := flowIndex{first: map[flow.Flow]*Client{}}
		c := []*Client{{f: tcpPhone}, {f: tcpPhone}, {f: tcpPhone}}
		for _, c := range c {
			x.add(c)
		}
		for left, i := range order {
			n := 0
			for at := x.head(tcpPhone); at != nil; at = at.next {
				n++
			}
			if want := 3 - left; n != want {
				t.Errorf("order %v: %d clients before removal %d, want %d", order, n, left, want)
			}
			x.remove(c[i])
		}
		if x.has(tcpPhone) || len(x.first) != 0 {
			t.Errorf("order %v: the index is not empty at the end", order)
		}
	}
}
