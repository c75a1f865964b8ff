package pushtest

import (
	"sync"
	"testing"

	"reveille/push/pushsim"
)

// Sims returns a function that starts pretend push services, which end with the
// test. Those that are started without credentials share some: RSA keys take a
// while to make.
func Sims() func(*testing.T, pushsim.Options) *pushsim.Server {
	shared := sync.OnceValues(pushsim.NewCredentials)
	return func(t *testing.T, o pushsim.Options) *pushsim.Server {
		t.Helper()
		var err error
		if o.Credentials == nil {
			if o.Credentials, err = shared(); err != nil {
				t.Fatal(err)
			}
		}
		sim, err := pushsim.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sim.Close() })
		return sim
	}
}
