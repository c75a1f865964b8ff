package registrar

import (
	"time"

	"reveille/internal/sipmsg"
)

// OutboundPolicy is the part of a Policy that is about RFC 5626.
type OutboundPolicy struct {
	// Mode says who may register flows.
	Mode OutboundMode
	// FlowTimer is after how long without a keep-alive the connection of a phone
	// counts as dead; phones are told to send them more often (RFC 5626 §5.4). 0
	// leaves it to them, as does UDP always, whose mappings in NATs do not last.
	FlowTimer time.Duration
}

// OutboundMode says who may register flows: bindings that are told apart by
// +sip.instance and reg-id.
type OutboundMode uint8

const (
	// OutboundOn lets every phone that can.
	OutboundOn OutboundMode = iota
	// OutboundOff ignores reg-id.
	OutboundOff
	// OutboundRequired refuses contacts that are no flows (RFC 5626 §6).
	OutboundRequired
)

// checkFlows refuses what RFC 5626 §6 wants refused, and takes the reg-id from
// contacts that are no flows.
func (p *Policy) checkFlows(in *Input, plans []plan) error {
	lives, flows := 0, 0
	for i := range plans {
		pl := &plans[i]
		if pl.id.regID != 0 {
			if err := p.checkFlow(in, pl); err != nil {
				return err
			}
		}
		if pl.remove() {
			continue
		}
		lives++
		if pl.id.regID != 0 {
			flows++
		}
	}
	if p.Outbound.Mode == OutboundRequired && flows < lives {
		if !in.Supported.Has(ExtOutbound) {
			return extensionRequired("outbound")
		}
		return refuse(403, "Outbound Registration Required")
	}
	// RFC 5626 §6: one registration is one flow.
	if flows > 0 && lives > 1 {
		return refuse(400, "One Contact Per Flow")
	}
	return nil
}

// checkFlow looks at a contact with an instance and a reg-id.
func (p *Policy) checkFlow(in *Input, pl *plan) error {
	switch {
	case p.Outbound.Mode == OutboundOff:
	case !in.Relayed || in.PathOutbound && p.Path != PathOff:
		return nil
	case in.Supported.Has(ExtOutbound):
		// RFC 5626 §6: the phone believes in a flow that the proxy next to it does
		// not keep.
		return refuse(439, "First Hop Lacks Outbound Support")
	}
	pl.id.regID = 0
	return nil
}

// answerFlow puts into res what a phone is told that has registered, or removed,
// a flow.
func (p *Policy) answerFlow(in *Input, res *Result) {
	// RFC 5626 §6: only to those who know the extension.
	if !in.Supported.Has(ExtOutbound) {
		return
	}
	res.Outbound = true
	if !in.Relayed && in.Flow.Stream() {
		// RFC 5626 §6: a registrar may on a flow of its own.
		res.FlowTimer = uint32(p.Outbound.FlowTimer / time.Second)
	}
}

// pathOutbound reports whether the first URI of a Path promises to keep the flow
// to the phone (RFC 5626 §5.1).
func pathOutbound(paths []sipmsg.NameAddr) bool {
	if len(paths) == 0 {
		return false
	}
	// RFC 5626 §5.1: the proxy next to the phone alone may promise it. Its value
	// was inserted first and stands last, for each proxy on the way puts its own in
	// front (RFC 3327 §5.2).
	_, ob := paths[len(paths)-1].URI.Param("ob")
	return ob
}
