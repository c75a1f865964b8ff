package contacts

import (
	"testing"
	"time"

	"reveille/usrloc"
	"reveille/usrloc/usrloctest"
)

// BenchmarkBook asks a store of 200,000 users with a phone each for pages.
func BenchmarkBook(b *testing.B) {
	const users = 200_000
	r := newRig(b)
	now := time.Now()
	for n := range users {
		aor := usrloctest.AOR(n)
		x := usrloctest.Binding(aor, 1, now)
		r.store.Update(b.Context(), aor, usrloctest.Put(x), func(_ usrloc.Record, _ []usrloc.Change, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	for _, c := range []struct {
		name string
		ask  func(Page) (next string, err error)
	}{
		{"UsersPage", func(p Page) (string, error) { l, err := r.Users(b.Context(), "", p); return l.Next, err }},
		{"SearchForNobody", func(p Page) (string, error) { l, err := r.Users(b.Context(), "nobody", p); return l.Next, err }},
		{"FilterOfNobody", func(p Page) (string, error) {
			l, err := r.Contacts(b.Context(), Query{IP: []string{"192.0.2.1"}, Port: []int{1}}, p, false)
			return l.Next, err
		}},
		{"Dump", func(Page) (string, error) {
			return "", r.Dump(b.Context(), false, func(UserContacts) error { return nil })
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var p Page
			for b.Loop() {
				next, err := c.ask(p)
				if err != nil {
					b.Fatal(err)
				}
				p.After = next
			}
		})
	}
}
