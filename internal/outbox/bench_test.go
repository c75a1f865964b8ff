package outbox

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"reveille/internal/event"
	"reveille/internal/feed"
)

// BenchmarkDelivery is an event's way from Emit to a webhook over loopback, the disk
// included.
func BenchmarkDelivery(b *testing.B) {
	var lines atomic.Int64
	all := make(chan struct{})
	want := int64(0)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 32<<10)
		n := int64(0)
		for {
			k, err := r.Body.Read(buf)
			for _, c := range buf[:k] {
				if c == '\n' {
					n++
				}
			}
			if err != nil {
				break
			}
		}
		if lines.Add(n) == want {
			close(all)
		}
	}))
	defer srv.Close()
	box, err := New(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	f := feed.New(feed.Options{Queue: b.N + 1, Takers: []feed.Taker{box}})
	p, err := Prepare([]Webhook{{Name: "a", URL: srv.URL, Secret: []byte("s3cret")}})
	if err != nil {
		b.Fatal(err)
	}
	box.Set(p)
	want = int64(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		f.Emit(event.Call{Step: "parked", Method: "INVITE", CallID: "a84b4c76e66710", AOR: "sip:alice@example.com"})
	}
	<-all
	b.StopTimer()
	if err := f.Stop(b.Context()); err != nil {
		b.Error(err)
	}
	if err := box.Stop(b.Context()); err != nil {
		b.Error(err)
	}
}
