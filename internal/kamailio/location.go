package kamailio

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"reveille/flow"
	"reveille/internal/auth"
	"reveille/internal/sipmsg"
	"reveille/internal/sqldb"
	"reveille/usrloc"
)

// refreshLead is how long before its end a binding is refreshed by a push (RFC
// 8599 §5.5).
const refreshLead = 2 * time.Minute

// LocationOptions say what the table does not.
type LocationOptions struct {
	// Table is its name.
	Table string
	// Domain stands in for those of rows without one.
	Domain string
	// Listener is the name of ours on which phones are reached by UDP.
	Listener string
	// Zone is the one of the table's times.
	Zone *time.Location
	// Now decides which rows have expired.
	Now time.Time
}

// Location puts the rows of the table location into a store, and returns how
// many. Connections do not move to another server: phones without push that were
// reached by one have to register again, others are woken.
func Location(ctx context.Context, db *sqldb.DB, o LocationOptions, to usrloc.Store) (n, expired int, notes []Note, err error) {
	err = each(ctx, db, o.Table, func(number int, r row) error {
		note := func(what string) { notes = append(notes, Note{o.Table, number, r.text("username"), what}) }
		until, ok := r.when("expires", o.Zone)
		if !ok {
			note("not taken: it never expires; write it as a fixed contact")
			return nil
		}
		if !o.Now.Before(until) {
			expired++
			return nil
		}
		aor, b, err := r.binding(&o, until)
		if err != nil {
			note("not taken: " + err.Error())
			return nil
		}
		if err := put(ctx, to, aor, b); err != nil {
			return fmt.Errorf("import %s: row %d: %w", o.Table, number, err)
		}
		n++
		return nil
	})
	return n, expired, notes, err
}

// put adds a binding to those of aor.
func put(ctx context.Context, to usrloc.Store, aor usrloc.AOR, b usrloc.Binding) error {
	ended := make(chan error, 1)
	to.Update(ctx, aor, func(rec usrloc.Record) (usrloc.Record, error) {
		rec.Bindings = append(slices.Clip(rec.Bindings), b)
		rec.Cause = usrloc.CauseOperator
		return rec, nil
	}, func(_ usrloc.Record, _ []usrloc.Change, err error) { ended <- err })
	return <-ended
}

// binding reads a row that has not expired.
func (r row) binding(o *LocationOptions, until time.Time) (aor usrloc.AOR, b usrloc.Binding, err error) {
	domain := r.text("domain")
	if domain == "" {
		domain = o.Domain
	}
	address := r.text("username") + "@" + domain
	if domain == "" {
		return "", b, errors.New("it has no domain; name one with --domain")
	}
	if aor, err = auth.CanonicalAOR("sip:" + strings.TrimPrefix(address, "@")); err != nil {
		return "", b, fmt.Errorf("%s is no address of record", address)
	}
	contact := strings.Trim(r.text("contact"), "<>")
	uri, err := sipmsg.ParseURI(contact)
	if err != nil || !uri.IsSIP() {
		return "", b, errors.New("its contact is no SIP URI")
	}
	if b.ID, err = usrloc.NewBindingID(aor, rand.Reader); err != nil {
		return "", b, err
	}
	updated, ok := r.when("last_modified", o.Zone)
	if !ok || updated.After(o.Now) {
		updated = o.Now
	}
	// A phone registered it: it must not look as if it had been added by hand.
	b.Contact, b.Q, b.CallID, b.CSeq = contact, preference(r.text("q")), cmp.Or(r.text("callid"), "imported"), uint32(max(r.number("cseq"), 0))
	b.Created, b.Updated, b.Expires, b.RetainUntil = updated, updated, until, until
	b.UserAgent, b.Methods = r.text("user_agent"), methods(r.number("methods"))
	b.Path = splitPath(r.text("path"))
	b.Instance, b.RegID = strings.Trim(r.text("instance", "sip_instance"), `"<>`), uint32(max(r.number("reg_id"), 0))
	b.Params = params(&b)
	b.Flow = lastFlow(r.text("received"), uri, o.Listener)
	b.Push = pushOf(uri)
	if !b.Push.IsZero() {
		b.RefreshAt = until.Add(-refreshLead)
	}
	for _, s := range append([]string{contact, b.CallID, b.UserAgent, b.Instance}, b.Path...) {
		// They go into header fields, which a line end would break.
		if strings.ContainsFunc(s, unicode.IsControl) {
			return "", b, errors.New("it holds a control character")
		}
	}
	return aor, b, nil
}

// preference reads a q value; -1 is none.
func preference(s string) usrloc.Q {
	q, err := strconv.ParseFloat(s, 64)
	if err != nil || !(q >= 0 && q <= 1) { // NaN is neither.
		return usrloc.QUnset
	}
	return usrloc.Q(q*1000 + 0.5)
}

// params rebuilds the Contact parameters that identify the device (RFC 5626
// §4.1).
func params(b *usrloc.Binding) string {
	if b.Instance == "" {
		return ""
	}
	s := `;+sip.instance="<` + b.Instance + `>"`
	if b.RegID != 0 {
		s += ";reg-id=" + strconv.FormatUint(uint64(b.RegID), 10)
	}
	return s
}

// pushOf reads the push parameters of a contact (RFC 8599 §4.1).
func pushOf(u sipmsg.URI) usrloc.Push {
	value := func(name string) string {
		v, _ := u.Param(name)
		return sipmsg.Unescape(v)
	}
	return usrloc.Push{Provider: value("pn-provider"), Param: value("pn-param"), PRID: value("pn-prid")}
}

// lastFlow is how the phone is reached: where the server saw it, or else at its
// contact. Only by UDP can we take that over.
func lastFlow(received string, contact sipmsg.URI, listener string) flow.Flow {
	u := contact
	if seen, err := sipmsg.ParseURI(received); err == nil && seen.IsSIP() {
		u = seen
	}
	transport, has := u.Param("transport")
	addr, isAddr := u.HostAddr()
	if has && !strings.EqualFold(transport, "udp") || !isAddr || u.Scheme == "sips" {
		return flow.Flow{}
	}
	port := u.PortNum()
	if port == 0 {
		port = 5060
	}
	return flow.Flow{Listener: listener, Transport: flow.UDP, Remote: netip.AddrPortFrom(addr, port)}
}

// splitPath cuts the values of Path apart, which commas inside of brackets and
// quotes do not.
func splitPath(s string) []string {
	var values []string
	start, quoted, bracketed := 0, false, false
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || s[i] == ',' && !quoted && !bracketed:
			if v := strings.TrimSpace(s[start:i]); v != "" {
				values = append(values, v)
			}
			start = i + 1
		case s[i] == '"' && !bracketed:
			quoted = !quoted
		case s[i] == '<' && !quoted:
			bracketed = true
		case s[i] == '>':
			bracketed = false
		}
	}
	return values
}

// methods reads the bits of both servers, which are the same as far as we know
// them; 0 and all are what phones have that did not say.
func methods(bits int64) usrloc.Methods {
	var m usrloc.Methods
	for i, method := range [...]usrloc.Methods{
		usrloc.MethodInvite, usrloc.MethodCancel, usrloc.MethodAck, usrloc.MethodBye, usrloc.MethodInfo, usrloc.MethodRegister,
		usrloc.MethodSubscribe, usrloc.MethodNotify, usrloc.MethodMessage, usrloc.MethodOptions, usrloc.MethodPrack,
		usrloc.MethodUpdate, usrloc.MethodRefer, usrloc.MethodPublish,
	} {
		if bits&(1<<i) != 0 {
			m |= method
		}
	}
	return m
}
