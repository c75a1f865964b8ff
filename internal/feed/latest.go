package feed

import "reveille/internal/event"

// Latest returns up to n of the events that are kept and that filter takes, the newest
// first.
func (f *Feed) Latest(filter event.Filter, n int) (rs []*Record) {
	k := f.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, first := k.next, k.first(); i > first && len(rs) < n; i-- {
		if r := k.ring[(i-1)%uint64(len(k.ring))]; filter.Matches(r.Type, r.AOR) {
			rs = append(rs, r)
		}
	}
	return rs
}
