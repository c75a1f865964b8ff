package fastpath

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"reveille/internal/sipmsg"
)

// BenchmarkTry refreshes 20,000 phones in turn.
func BenchmarkTry(b *testing.B) {
	p := newPipeline(b, setup{with: true})
	settlePolicy()
	const n = 20_000
	raws := make([][]byte, n)
	for i := range raws {
		user := fmt.Sprintf("user%05d", i)
		m := register{user: user, callID: "call-" + user, contact: phoneOf(user), cseq: 1_000_000_000}
		raws[i] = []byte(m.String())
		p.receive(flowOf(5060), m.String())
		for p.layer.Busy(m.callID, &sipmsg.URI{}) {
			runtime.Gosched()
		}
	}
	at := strings.Index(string(raws[0]), "CSeq: ") + 6
	out := make([]byte, 0, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		raw := raws[i%n]
		for j, v := 9, 1_000_000_001+i/n; j >= 0; j, v = j-1, v/10 {
			raw[at+j] = byte('0' + v%10)
		}
		if _, mine := p.path.Try(flowOf(5060), raw, out[:0]); !mine {
			b.Fatalf("declined %s", raw)
		}
	}
	p.stop()
}
