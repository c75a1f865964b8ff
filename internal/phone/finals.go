package phone

import (
	"sync"

	"github.com/emiago/sipgo/sip"
)

// finals remember how a line's requests were answered: each has one final answer,
// and any other one is told as Doubled. A copy of the one is none.
type finals struct {
	mu   sync.Mutex // guards seen
	seen map[string]final
}

type final struct {
	status int
	toTag  string
}

// maxFinals bounds what is remembered; then it begins anew.
const maxFinals = 4096

// first notes a final answer. It reports false if its request had another before.
func (f *finals) first(res *sip.Response) bool {
	via, cseq, to := res.Via(), res.CSeq(), res.To()
	if via == nil || cseq == nil || to == nil {
		return true
	}
	branch, _ := via.Params.Get("branch")
	key := branch + " " + string(cseq.MethodName)
	got := final{status: res.StatusCode}
	got.toTag, _ = to.Params.Get("tag")
	f.mu.Lock()
	defer f.mu.Unlock()
	if had, ok := f.seen[key]; ok {
		return had == got
	}
	if f.seen == nil || len(f.seen) >= maxFinals {
		f.seen = make(map[string]final)
	}
	f.seen[key] = got
	return true
}

// answered takes each answer that the line gets, those included for which sipgo
// has no transaction any more.
func (l *line) answered(res *sip.Response) {
	if res.IsProvisional() || l.finals.first(res) {
		return
	}
	e := Event{Kind: Doubled, Status: res.StatusCode}
	if id := res.CallID(); id != nil {
		e.CallID = id.Value()
	}
	l.p.tell(e)
}
