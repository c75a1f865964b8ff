package proxy

import (
	"context"
	"fmt"
	"testing"

	"reveille/flow"
	"reveille/internal/sipmsg"
	"reveille/internal/transaction"
	"reveille/usrloc"
)

// nobody is the world of a layer in which nothing is sent or received.
type nobody struct{}

func (nobody) Send(flow.Flow, []byte) error                       { return nil }
func (nobody) Request(*transaction.Server)                        {}
func (nobody) Ack(*transaction.Queue, flow.Flow, *sipmsg.Message) {}
func (nobody) Cancel(*transaction.Server, *sipmsg.Message)        {}
func (nobody) Stray(flow.Flow, *sipmsg.Message)                   {}

// BenchmarkTurn is what a request costs that waited for a phone and hears that it has
// registered: on its own queue at once, and in its turn by way of the queue of the
// REGISTER, alone and with others before it.
func BenchmarkTurn(b *testing.B) {
	l := transaction.New(transaction.Options{Queues: 2, Sender: nobody{}, User: nobody{}})
	l.Start()
	b.Cleanup(func() {
		if err := l.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	register, request := l.Queue("0"), l.Queue("0")
	for n := 1; request == register; n++ {
		request = l.Queue(fmt.Sprint(n))
	}
	done := make(chan struct{}, 1)
	tell := func() { done <- struct{}{} }
	b.Run("at once", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request.Post(tell)
			<-done
		}
	})
	for _, waiting := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("in turn, %d", waiting), func(b *testing.B) {
			b.ReportAllocs()
			lane := &lane{turns: map[usrloc.AOR][]turn{}}
			for b.Loop() {
				// All of one registration, the last of whom reports; the time is that of all.
				register.Post(func() {
					for range waiting - 1 {
						lane.inTurn(register, "sip:a@example.com", turn{request, func() {}})
					}
					lane.inTurn(register, "sip:a@example.com", turn{request, tell})
				})
				<-done
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*waiting), "ns/turn")
		})
	}
}
