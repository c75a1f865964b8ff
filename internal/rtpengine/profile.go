package rtpengine

// A Profile is what SDP must look like for one kind of peer. The values are those of
// the ng protocol; what is empty is left to the engine.
type Profile struct {
	Name string
	// ICE is force, remove, optional or default.
	ICE string
	// Protocol is that of the m lines of an offer, such as RTP/AVP. An answer has that
	// of its offer.
	Protocol string
	// RTCPMux says how RTP and RTCP share a port: offer, require, demux, accept or
	// reject.
	RTCPMux []string
	// DTLS is passive, active or off.
	DTLS string
	// SDES is how keys in SDP are treated; off for none.
	SDES []string
	// Replace names parts of the SDP that name the peer's own address: origin,
	// session-connection and the like.
	Replace []string
	// Flags are other switches of the engine.
	Flags []string
	// Interface is that of the engine on which it talks to such peers. It counts if
	// both sides of a call have one.
	Interface string
}

// Browser is for WebRTC: ICE, DTLS-SRTP, and RTCP on the port of RTP (RFC 8835, RFC
// 8827). The engine waits for the DTLS handshake, which works behind any NAT.
func Browser() Profile {
	return Profile{
		Name: "browser", ICE: "force", Protocol: "UDP/TLS/RTP/SAVPF", RTCPMux: []string{"offer"}, DTLS: "passive",
		SDES: []string{"off"}, Replace: []string{"origin", "session-connection"}, Flags: []string{"generate-mid"},
	}
}

// Phone is for plain RTP (RFC 3551), as desk phones, gateways and PBXs speak it.
func Phone() Profile {
	return Profile{
		Name: "phone", ICE: "remove", Protocol: "RTP/AVP", RTCPMux: []string{"demux"}, DTLS: "off",
		SDES: []string{"off"}, Replace: []string{"origin", "session-connection"},
	}
}

// write puts the profile into a command.
func (p *Profile) write(d dict) {
	text := func(key, v string) {
		if v != "" {
			d[key] = v
		}
	}
	list := func(key string, v []string) {
		if len(v) > 0 {
			d[key] = v
		}
	}
	text("ICE", p.ICE)
	text("transport-protocol", p.Protocol)
	text("DTLS", p.DTLS)
	list("rtcp-mux", p.RTCPMux)
	list("SDES", p.SDES)
	list("replace", p.Replace)
	list("flags", p.Flags)
}
