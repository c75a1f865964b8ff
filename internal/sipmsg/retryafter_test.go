package sipmsg

import (
	"testing"
	"time"
)

func TestRetryAfter_RFC3261_20_33(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"18000;duration=3600": 5 * time.Hour, "120 (I'm in a meeting)": 2 * time.Minute, "60\t;x": time.Minute, "0": 0,
		"4294967295": (1<<32 - 1) * time.Second, "soon": -1, "-5": -1, "99999999999": -1, "": -1,
	} {
		m, err := Parse([]byte("SIP/2.0 503 Busy\r\nVia: SIP/2.0/UDP h;branch=1\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\ni: 1\r\nCSeq: 1 INVITE\r\nRetry-After: "+value+"\r\n\r\n"), testSource)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := m.RetryAfter(); ok != (want >= 0) || ok && got != want {
			t.Errorf("RetryAfter of %q = %v, %v, want %v", value, got, ok, want)
		}
	}
}
