package push

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDispatcher_AnyProvider(t *testing.T) {
	own := &keyed{}
	d := newTestDispatcher(t,
		App{Name: "android", Provider: "fcm", ParamPattern: "project", Sender: &fake{}},
		App{Name: "rest", Provider: AnyProvider, ParamPattern: "*", Sender: own})
	defer closeNow(t, d)
	// Nobody can ask for a push service whose name is not known.
	if diff := cmp.Diff([]string{"fcm"}, d.Providers()); diff != "" {
		t.Errorf("providers (-want +got):\n%s", diff)
	}
	for p, want := range map[Params]string{{"fcm", "project"}: "android", {"fcm", "other"}: "rest", {"acme", ""}: "rest"} {
		if r := d.routes.find(p); r == nil || r.app.Name != want {
			t.Errorf("%v is served by %v, want %s", p, r, want)
		}
	}
}
