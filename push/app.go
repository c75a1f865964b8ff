package push

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Defaults and bounds of an App.
const (
	DefaultQueueLen       = 4096
	DefaultInFlight       = 100
	DefaultAttemptTimeout = 3 * time.Second
)

// AnyProvider is the Provider of an App that serves phones of every push service
// that no App before it serves.
const AnyProvider = "*"

// An App is a credential and the phones that it may wake.
type App struct {
	// Name for logs and metrics, unique.
	Name string
	// Provider is the pn-provider value that it serves, or AnyProvider.
	Provider string
	// ParamPattern is for the pn-param values that it serves, in which * stands
	// for any characters; "" takes any, too. The apps are asked in order, and the
	// first that fits takes the push. A phone with two services, such as
	// "TEAM.bundle.voip&remote", fits the pattern of either.
	ParamPattern string
	// Sender makes the attempts. The Dispatcher closes it. Its type must be
	// comparable, such as a pointer.
	Sender Sender
	// QueueLen bounds the requests that wait in a lane; default 4096. Refreshes
	// may take half of it, so that they never crowd out calls.
	QueueLen int
	// InFlight bounds the attempts at a time of a lane; default 100. Until the
	// first success it is 1, for APNs allows one stream until it has seen a
	// valid token.
	InFlight int
	// AttemptTimeout bounds one attempt; default 3 s.
	AttemptTimeout time.Duration
}

// withDefaults checks a and fills what was left out.
func (a App) withDefaults() (App, error) {
	var errs []error
	if a.Name == "" {
		errs = append(errs, errors.New("name missing"))
	}
	if a.Provider == "" {
		errs = append(errs, errors.New("provider missing"))
	}
	if a.Sender == nil {
		errs = append(errs, errors.New("sender missing"))
	} else if !reflect.TypeOf(a.Sender).Comparable() {
		errs = append(errs, errors.New("sender not comparable"))
	}
	if a.QueueLen < 0 || a.InFlight < 0 || a.AttemptTimeout < 0 {
		errs = append(errs, errors.New("negative limit"))
	}
	if err := errors.Join(errs...); err != nil {
		return App{}, fmt.Errorf("push app %q: %w", a.Name, err)
	}
	a.Provider = strings.ToLower(a.Provider)
	if a.ParamPattern == "" {
		a.ParamPattern = "*"
	}
	if a.QueueLen == 0 {
		a.QueueLen = DefaultQueueLen
	}
	if a.InFlight == 0 {
		a.InFlight = DefaultInFlight
	}
	if a.AttemptTimeout == 0 {
		a.AttemptTimeout = DefaultAttemptTimeout
	}
	return a, nil
}

// sameLane reports whether a lane of a can serve b as it is.
func (a App) sameLane(b App) bool {
	return a.Name == b.Name && a.Provider == b.Provider && a.Sender == b.Sender &&
		a.QueueLen == b.QueueLen && a.InFlight == b.InFlight && a.AttemptTimeout == b.AttemptTimeout
}

// takes reports whether a serves p.
func (a App) takes(p Params) bool {
	if a.Provider != p.Provider && a.Provider != AnyProvider {
		return false
	}
	return match(a.ParamPattern, p.Param) ||
		slices.ContainsFunc(p.services(), func(param string) bool { return match(a.ParamPattern, param) })
}

// match reports whether s is as pattern says, in which * stands for any
// characters.
func match(pattern, s string) bool {
	first, rest, star := strings.Cut(pattern, "*")
	s, ok := strings.CutPrefix(s, first)
	if !ok || !star {
		return ok && s == ""
	}
	// What stands between stars is found where it comes first; the last piece
	// must end s.
	for {
		piece, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(s, piece)
		}
		i := strings.Index(s, piece)
		if i < 0 {
			return false
		}
		s, rest = s[i+len(piece):], after
	}
}

// Check returns what NewDispatcher and Replace would refuse apps for.
func Check(apps []App) error {
	_, err := newRoutes(apps)
	return err
}

// routes are the apps in the order of the configuration.
type routes []*route

func newRoutes(apps []App) (routes, error) {
	var rs routes
	var errs []error
	names := make(map[string]bool)
	for _, a := range apps {
		a, err := a.withDefaults()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if names[a.Name] {
			errs = append(errs, fmt.Errorf("push app %q: name used twice", a.Name))
		}
		names[a.Name] = true
		rs = append(rs, &route{app: a, lanes: make(map[string]*lane)})
	}
	return rs, errors.Join(errs...)
}

// find returns the first app that takes p, or nil.
func (rs routes) find(p Params) *route {
	for _, r := range rs {
		if r.app.takes(p) {
			return r
		}
	}
	return nil
}
