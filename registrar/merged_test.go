package registrar

import (
	"testing"
	"time"
)

func TestApply_Merged_RFC3261_8_2_2_2(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   func(*Input)
		code int // 0: answered as the first one
	}{
		{"the same way", func(*Input) {}, 0},
		{"another flow", func(in *Input) { in.Flow = flowFrom(6000) }, 482},
		{"another path", func(in *Input) { in.Path = []string{"<sip:b;lr>"} }, 482},
		{"too late", func(in *Input) { in.Flow, in.Now = flowFrom(6000), in.Now.Add(32*time.Second) }, 500},
		{"an older one", func(in *Input) { in.Flow, in.CSeq = flowFrom(6000), in.CSeq-1 }, 500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			in := w.input("one", 2, "<sip:a@h>")
			in.Path = []string{"<sip:a;lr>"}
			w.mustApply(in)
			again := *in
			tt.in(&again)
			res, err := w.apply(&again)
			if tt.code != 0 {
				wantRefusal(t, err, tt.code)
			} else if err != nil || !res.Retransmission {
				t.Errorf("retransmission %v, %v", res.Retransmission, err)
			}
		})
	}
}
