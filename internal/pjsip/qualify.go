package pjsip

import (
	"fmt"
	"strconv"
	"time"
)

// qualify takes over how contacts are asked whether they are there: as often as the
// AOR whose contacts are asked most often, for there is one interval for all.
func (p *planner) qualify() {
	q := &p.registrar
	var seen []Option
	for _, s := range p.model.byType["aor"] {
		o, ok := s.Last("qualify_frequency")
		if !ok {
			continue
		}
		n := p.number(o, 0, 86400)
		if n == "" || n == "0" {
			continue
		}
		seen = append(seen, o)
		every, _ := strconv.Atoi(n)
		if best := duration(q.qualify, 0); best == 0 || time.Duration(every)*time.Second < best {
			q.qualify = seconds(every)
		}
		if o, ok := s.Last("qualify_timeout"); ok {
			n, err := strconv.ParseFloat(o.Value, 64)
			if err != nil || !(n >= 0.1 && n <= 30) {
				p.notes.option(o, "is no number from 0.1 to 30", "")
			} else if d := time.Duration(n * float64(time.Second)).Round(time.Millisecond); d > duration(q.qualifyTimeout, 0) {
				q.qualifyTimeout = d.String()
			}
		}
		if o, ok := s.Last("qualify_2xx_only"); ok && truth(o.Value) {
			q.only2xx = true
		}
	}
	for _, o := range seen {
		if n, _ := strconv.Atoi(o.Value); seconds(n) != q.qualify {
			p.notes.option(o, fmt.Sprintf("is %s for all users, not %s", q.qualify, seconds(n)), "")
		}
	}
	if every := duration(q.qualify, 0); every > 0 && every < duration(q.qualifyTimeout, 3*time.Second) {
		// An interval has room for its answer.
		q.qualifyTimeout = q.qualify
	}
}
