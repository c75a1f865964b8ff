package registrar

import (
	"testing"
	"time"
)

func TestJitter_Spread_RFC6665_4_2_1_1(t *testing.T) {
	const least, most = time.Minute, 2 * time.Hour
	for _, tt := range []struct {
		name    string
		j       Jitter
		granted time.Duration
		named   bool
		low     time.Duration // with the largest random number, rounded up to a second
		high    time.Duration // with 0
	}{
		{"none", Jitter{}, time.Hour, true, time.Hour, time.Hour},
		{"shorter", Jitter{Time: 10 * time.Minute}, time.Hour, true, 50 * time.Minute, time.Hour},
		{"the larger counts", Jitter{Time: 10 * time.Minute, Percent: 50}, time.Hour, true, 30 * time.Minute, time.Hour},
		{"not below the minimum", Jitter{Time: time.Hour}, 2 * time.Minute, true, time.Minute, 2 * time.Minute},
		{"never longer than asked", Jitter{Time: 10 * time.Minute, Both: true}, time.Hour, true, 50 * time.Minute, time.Hour},
		{"both ways", Jitter{Time: 10 * time.Minute, Both: true}, time.Hour, false, 50 * time.Minute, 70 * time.Minute},
		{"not above the maximum", Jitter{Time: time.Hour, Both: true}, 90 * time.Minute, false, 30 * time.Minute, 2 * time.Hour},
		{"default only, asked", Jitter{Time: 10 * time.Minute, DefaultOnly: true}, time.Hour, true, time.Hour, time.Hour},
		{"default only, not asked", Jitter{Time: 10 * time.Minute, DefaultOnly: true}, time.Hour, false, 50 * time.Minute, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.j.spread(tt.granted, least, most, tt.named, 0); got != tt.high {
				t.Errorf("with 0: %v, want %v", got, tt.high)
			}
			if got := tt.j.spread(tt.granted, least, most, tt.named, 0.999999); got != tt.low {
				t.Errorf("with almost 1: %v, want %v", got, tt.low)
			}
		})
	}
}
