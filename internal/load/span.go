package load

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A Span is a range of durations, from which one is drawn with equal chances. It
// implements the Value of a flag.
type Span struct{ Min, Max time.Duration }

// ParseSpan reads "50ms..2s", or one duration.
func ParseSpan(s string) (Span, error) {
	least, most, ranged := strings.Cut(s, "..")
	if !ranged {
		most = least
	}
	var sp Span
	var err error
	if sp.Min, err = time.ParseDuration(least); err == nil {
		sp.Max, err = time.ParseDuration(most)
	}
	if err != nil || sp.Min < 0 || sp.Max < sp.Min {
		return Span{}, fmt.Errorf("%q is no duration and no range such as 50ms..2s", s)
	}
	return sp, nil
}

func (s Span) validate() error {
	if s.Min < 0 || s.Max < s.Min {
		return fmt.Errorf("span %s is empty or negative", s)
	}
	return nil
}

// String is what ParseSpan reads.
func (s Span) String() string {
	if s.Min == s.Max {
		return s.Min.String()
	}
	return s.Min.String() + ".." + s.Max.String()
}

// Set makes s what ParseSpan reads.
func (s *Span) Set(text string) (err error) {
	*s, err = ParseSpan(text)
	return err
}

// Type names the values in a usage text.
func (s *Span) Type() string { return "span" }

// draw returns a duration of the span.
func (s Span) draw(rng *rand.Rand) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	return s.Min + time.Duration(rng.Int64N(int64(s.Max-s.Min)+1))
}
