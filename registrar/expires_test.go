package registrar

import (
	"testing"
	"time"
)

func TestParseExpires_RFC3261_20_10(t *testing.T) {
	for value, want := range map[string]uint32{
		"0": 0, "1": 1, "0060": 60, "4294967295": 1<<32 - 1,
		// Malformed values count as an hour.
		"4294967296": 3600, "99999999999999999999": 3600, "-1": 3600, "+5": 3600, "": 3600, "1.5": 3600, "1h": 3600, "60 s": 3600,
	} {
		if got := ParseExpires(value); got != (Expires{Present: true, Seconds: want}) {
			t.Errorf("ParseExpires(%q) = %+v, want %d", value, got, want)
		}
	}
}

func TestApply_Expires_RFC3261_10_3_7(t *testing.T) {
	const long = 2 * time.Hour
	tests := []struct {
		name    string
		contact string // expires parameter
		header  string // Expires header field
		policy  func(*Policy)
		want    time.Duration
		refused uint32 // Min-Expires of a 423
	}{
		{name: "parameter before header", contact: ";expires=600", header: "700", want: 600 * time.Second},
		{name: "header", header: "700", want: 700 * time.Second},
		{name: "default", want: time.Hour},
		{name: "default below the minimum", policy: func(p *Policy) { p.DefaultExpires = 10 * time.Second }, want: time.Minute},
		{name: "default below the minimum is not refused", policy: func(p *Policy) { reject(p); p.DefaultExpires = 10 * time.Second }, want: time.Minute},
		{name: "malformed parameter", contact: ";expires=soon", header: "700", want: time.Hour},
		{name: "malformed header", header: "soon", want: time.Hour},
		{name: "parameter without value", contact: ";expires", header: "700", want: time.Hour},
		{name: "more than can be counted", contact: ";expires=4294967296", policy: func(p *Policy) { p.MaxExpires = maxLifetime }, want: time.Hour},
		{name: "above the maximum", contact: ";expires=4294967295", want: time.Hour},
		{name: "above a longer maximum", contact: ";expires=9999", policy: func(p *Policy) { p.MaxExpires = long }, want: long},
		{name: "at the minimum", contact: ";expires=60", want: time.Minute},
		{name: "raised", contact: ";expires=59", want: time.Minute},
		{name: "no minimum", contact: ";expires=1", policy: func(p *Policy) { p.MinExpires = 0 }, want: time.Second},
		{name: "423", contact: ";expires=59", policy: reject, refused: 60},
		{name: "423 for a header", header: "1", policy: reject, refused: 60},
		{name: "no 423 at the minimum", contact: ";expires=60", policy: reject, want: time.Minute},
		{
			name: "no 423 from an hour on", contact: ";expires=3600", want: time.Hour,
			policy: func(p *Policy) { reject(p); p.MinExpires = time.Hour },
		},
		{
			name: "423 just below an hour", contact: ";expires=3599", refused: 3600,
			policy: func(p *Policy) { reject(p); p.MinExpires = time.Hour },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.policy != nil {
				tt.policy(&w.p)
			}
			in := w.input("one", 1, "<sip:a@h>"+tt.contact)
			if tt.header != "" {
				in.Expires = ParseExpires(tt.header)
			}
			_, err := w.apply(in)
			if tt.refused != 0 {
				if r := wantRefusal(t, err, 423); r.MinExpires != tt.refused {
					t.Errorf("Min-Expires %d, want %d", r.MinExpires, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := w.granted(); got != tt.want {
				t.Errorf("granted %v, want %v", got, tt.want)
			}
		})
	}
}

func reject(p *Policy) { p.ShortExpires = Reject }

func TestApply_Jitter(t *testing.T) {
	const pushed = "<sip:a@h;pn-provider=fcm;pn-param=p;pn-prid=t>"
	tests := []struct {
		name    string
		time    time.Duration
		percent int
		random  float64
		contact string
		want    time.Duration
	}{
		{"none", 0, 0, 0.99, "<sip:a@h>;expires=1000", 1000 * time.Second},
		{"percent", 0, 10, 0.5, "<sip:a@h>;expires=1000", 950 * time.Second},
		{"time", 100 * time.Second, 0, 0.5, "<sip:a@h>;expires=1000", 950 * time.Second},
		{"the larger of both", 10 * time.Second, 20, 0.5, "<sip:a@h>;expires=1000", 900 * time.Second},
		{"the larger of both, the other way", 400 * time.Second, 20, 0.5, "<sip:a@h>;expires=1000", 800 * time.Second},
		{"never longer", 0, 50, 0, "<sip:a@h>;expires=1000", 1000 * time.Second},
		{"whole seconds", 0, 10, 0.0001, "<sip:a@h>;expires=1000", 999 * time.Second},
		{"not below the minimum", time.Hour, 0, 0.99, "<sip:a@h>;expires=100", time.Minute},
		{"not below the minimum for a push", time.Hour, 0, 0.99, pushed + ";expires=1000", 240 * time.Second},
		{"a month", 0, 50, 0.5, pushed + ";expires=2592000", 2592000 * 3 / 4 * time.Second},
		{"not a removal", time.Hour, 0, 0.99, "<sip:a@h>;expires=0", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(p *Policy) { p.Jitter.Time, p.Jitter.Percent = tt.time, tt.percent })
			in := w.input("one", 1, tt.contact)
			in.Random = tt.random
			if _, err := w.apply(in); err != nil {
				t.Fatal(err)
			}
			if tt.want == 0 {
				w.want()
				return
			}
			if got := w.granted(); got != tt.want {
				t.Errorf("granted %v, want %v", got, tt.want)
			}
		})
	}
}

func TestApply_LifetimeIsNeverLongerThanAsked_RFC6665_4_2_1_1(t *testing.T) {
	w := newWorld(t, func(p *Policy) { p.Jitter.Percent = 50 })
	for seconds := uint32(60); seconds < 5000; seconds += 7 {
		in := w.input("one", seconds, "<sip:a@h>")
		in.Expires = Expires{Present: true, Seconds: seconds}
		in.Random = float64(seconds%97) / 97
		if _, err := w.apply(in); err != nil {
			t.Fatal(err)
		}
		got := w.granted()
		if got > time.Duration(seconds)*time.Second || got > w.p.MaxExpires || got < w.p.MinExpires || got%time.Second != 0 {
			t.Errorf("asked %d s, granted %v", seconds, got)
		}
	}
}
