package push

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"
)

// nothing is a Sender that takes everything at once.
type nothing struct{}

func (nothing) Send(context.Context, *Request) Outcome { return Outcome{Class: OK} }
func (nothing) Close() error                           { return nil }

// BenchmarkDispatcher is the cost of a wake without its push service.
func BenchmarkDispatcher(b *testing.B) {
	d, err := NewDispatcher(Options{Apps: []App{{Name: "a", Provider: "fcm", Sender: nothing{}, QueueLen: 1 << 20}}})
	if err != nil {
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	done := func(o Outcome) { wg.Done() }
	deadline := time.Now().Add(time.Hour)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		wg.Add(1)
		r := &Request{
			AOR: "sip:alice@example.com", Params: Params{Provider: "fcm", Param: "p"}, Tokens: []Token{{PRID: strconv.Itoa(i)}},
			Kind: Call, CallID: "c", Deadline: deadline,
		}
		i++
		if _, err := d.Submit(r, done); err != nil {
			b.Fatal(err)
		}
		if i%512 == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	if err := d.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
