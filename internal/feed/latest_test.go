package feed

import (
	"strings"
	"testing"
	"testing/synctest"

	"reveille/internal/event"
)

func TestFeed_Latest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New(Options{Keep: 4})
		for _, step := range []string{"received", "parked", "woken", "released", "answered"} {
			f.Emit(event.Call{Step: step, AOR: "sip:" + step[:1] + "@example.com"})
		}
		synctest.Wait()
		get := func(pattern, aor string, n int) string {
			filter, err := event.NewFilter([]string{pattern}, aor)
			if err != nil {
				t.Fatal(err)
			}
			var types []string
			for _, r := range f.Latest(filter, n) {
				types = append(types, r.Type)
			}
			return strings.Join(types, " ")
		}
		for _, tt := range []struct {
			name, pattern, aor string
			n                  int
			want               string
		}{
			{"all that are kept", "*", "", 9, "request.answered request.released request.woken request.parked"},
			{"some", "*", "", 2, "request.answered request.released"},
			{"of a type", "request.p*", "", 9, "request.parked"},
			{"of a user", "*", "sip:w@example.com", 9, "request.woken"},
			{"forgotten", "request.received", "", 9, ""},
		} {
			if got := get(tt.pattern, tt.aor, tt.n); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
		}
		if err := f.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
