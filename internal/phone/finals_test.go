package phone

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestFinals_OneForEachRequest(t *testing.T) {
	answer := func(branch string, method sip.RequestMethod, status int, toTag string) *sip.Response {
		res := sip.NewResponse(status, "")
		via := &sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: "192.0.2.1"}
		via.Params.Add("branch", branch)
		to := &sip.ToHeader{}
		to.Params.Add("tag", toTag)
		res.AppendHeader(via)
		res.AppendHeader(to)
		res.AppendHeader(&sip.CSeqHeader{SeqNo: 1, MethodName: method})
		return res
	}
	var f finals
	for _, tt := range []struct {
		name string
		res  *sip.Response
		want bool
	}{
		{"the answer", answer("b1", sip.INVITE, 486, "x"), true},
		{"its copy", answer("b1", sip.INVITE, 486, "x"), true},
		{"that of the CANCEL, whose branch is the same", answer("b1", sip.CANCEL, 200, "y"), true},
		{"another status", answer("b1", sip.INVITE, 487, "x"), false},
		{"another phone", answer("b1", sip.INVITE, 486, "z"), false},
		{"another request", answer("b2", sip.INVITE, 487, "z"), true},
		{"no header at all", sip.NewResponse(200, ""), true},
	} {
		if got := f.first(tt.res); got != tt.want {
			t.Errorf("%s: first() = %t, want %t", tt.name, got, tt.want)
		}
	}
}
