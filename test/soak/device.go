package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"reveille/internal/phone"
	"reveille/push/pushsim"
)

const (
	domain   = "example.com"
	password = "soak"
)

// A temper is how a device takes calls.
type temper uint8

const (
	answers  temper = iota // after a short ring
	ringsOn                // and never answers
	declines               // with 486
)

// A device is one phone. A scene has it to itself; the push service may wake it at
// any time.
type device struct {
	town    *town
	user    string
	number  int
	temper  temper
	options phone.Options

	mu    sync.Mutex // guards phone and token
	phone *phone.Phone
	push  phone.Push
	// tokens are what the push service knows it by.
	tokens []string
	// life is held by those who wake the app, and by who kills it.
	life sync.RWMutex
	// deaf devices are woken by no push.
	deaf atomic.Bool
	// taken devices are in a scene.
	taken atomic.Bool
}

func userName(i int) string { return fmt.Sprintf("u%05d", i) }

func newDevice(t *town, user string, i int, as temper) (*device, error) {
	d := &device{town: t, user: user, number: i, temper: as}
	d.options = phone.Options{
		User: user, Domain: domain, Password: password, Transport: transports()[i%len(transports())], Expires: lifetime,
		Instance: fmt.Sprintf("urn:uuid:%08x-0000-4000-8000-000000000001", i), Ring: 100 * time.Millisecond, CancelWait: answerTime,
		Local: netip.AddrFrom4([4]byte{127, 1 + byte(i>>16), byte(i >> 8), byte(i)}), On: d.on,
		TLS: &tls.Config{RootCAs: t.server.roots},
	}
	d.options.Server = t.server.at[d.options.Transport]
	switch as {
	case answers:
	case ringsOn:
		d.options.Ring = time.Hour
	case declines:
		d.options.Reject = 486
	}
	d.newToken()
	return d, d.install()
}

// install is a start of the app: all that was is forgotten, but for what the push
// service and the app keep.
func (d *device) install() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.options.Push = d.push
	p, err := phone.New(d.options)
	d.phone = p
	return err
}

// on takes what happens to the phone.
func (d *device) on(e phone.Event) {
	switch e.Kind {
	case phone.Doubled:
		d.town.wrong("%s: call %s got a second final answer: %d", d.user, e.CallID, e.Status)
	case phone.Unanswered:
		d.town.count("200 without ACK")
	default:
	}
}

// wakes has the app register, unless it was killed by now and is deaf.
func (d *device) wakes(ctx context.Context) bool {
	d.life.RLock()
	defer d.life.RUnlock()
	return d.deaf.Load() || d.app().Wake(ctx) == nil
}

// dies has the app killed and installed anew. No push that is still under way wakes
// the old one, nor the new one if it is deaf.
func (d *device) dies(deaf bool) error {
	d.life.Lock()
	defer d.life.Unlock()
	d.deaf.Store(deaf)
	d.app().Sleep()
	return d.install()
}

// deafen has no push wake the app any more, and waits for those that are at it.
func (d *device) deafen() {
	d.life.Lock()
	defer d.life.Unlock()
	d.deaf.Store(true)
}

// app is the phone as it is now.
func (d *device) app() *phone.Phone {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phone
}

// newToken is what a push service does from time to time. Every fourth device is
// an iPhone with its two tokens.
func (d *device) newToken() {
	fresh := func() string {
		var b [16]byte
		rand.Read(b[:]) // It never fails.
		return hex.EncodeToString(b[:])
	}
	p, tokens := phone.Push{Provider: "fcm", Param: pushsim.ProjectID}, []string{fresh()}
	p.PRID = tokens[0]
	if d.number/len(transports())%4 == 0 {
		tokens = append(tokens, fresh())
		p = phone.Push{Provider: "apns", Param: pushsim.TeamID + "." + pushsim.BundleID + ".voip&remote", PRID: tokens[0] + ":voip&" + tokens[1] + ":remote"}
	}
	d.mu.Lock()
	d.push, d.tokens = p, tokens
	if d.phone != nil {
		d.phone.SetPush(p)
	}
	d.mu.Unlock()
	d.town.owns(d, tokens)
}

// refuses has the push service treat the device's tokens so.
func (d *device) refuses(f pushsim.FaultKind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range d.tokens {
		d.town.sim.SetFault(t, pushsim.Fault{Kind: f})
	}
}

// pushed is a push for the device that its service took.
func (d *device) pushed(ctx context.Context) {
	if d.deaf.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// A system that woke an app lets it register, also if it had just suspended it.
	for !d.wakes(ctx) && ctx.Err() == nil {
		<-time.After(10 * time.Millisecond)
	}
	// A phone that nobody needs sleeps again.
	time.AfterFunc(3*time.Second, func() {
		if d.taken.CompareAndSwap(false, true) {
			d.app().Sleep()
			d.taken.Store(false)
		}
	})
}
