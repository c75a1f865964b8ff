package pjsip

import (
	"slices"
	"strings"
)

// Why options have no counterpart.
const (
	whyMedia    = "is about media, which does not pass through this server: SDP is passed on as it is"
	whyPBX      = "belongs to a PBX: there is no dialplan, voicemail, transfer or presence here"
	whyNAT      = "is always so here: answers and requests go where the phone's came from"
	whyEndToEnd = "is left to the phones: the header fields for it are passed on as they are"
	whyIdentity = "has no counterpart: From and the identity header fields are passed on as they are"
	whySystem   = "is about Asterisk's own process"
	whyUnknown  = "is not known to this import"
	whyPerAOR   = "has no counterpart"
)

// A family is a set of options with the same fate: listed by name, or by a
// prefix where the name ends in *.
type family struct {
	why   string // empty for options that MakePlan takes over, or uses
	names string
}

// families says what becomes of the options of each type of section. The first
// match counts.
func families() map[string][]family {
	return map[string][]family{
		"transport": {
			{"", "type protocol bind domain external_signaling_address external_signaling_port " +
				"cert_file priv_key_file ca_list_file ca_list_path cipher method verify_client require_client_cert verify_server"},
			{whyMedia, "external_media_address"},
			{whyNAT, "local_net symmetric_transport"},
			{"has no counterpart: packets are not marked; mark them in the firewall", "tos cos"},
			{whySystem, "async_operations allow_reload allow_wildcard_certs websocket_write_timeout tcp_keepalive_*"},
		},
		"auth": {
			{"", "type auth_type username password md5_cred password_digest realm"},
			{"is set by auth.nonce_ttl", "nonce_lifetime"},
			{"has no counterpart: the algorithms of auth.algorithms are offered as far as all passwords allow", "supported_algorithms_*"},
			{"has no counterpart", "oauth_* refresh_token"},
		},
		"aor": {
			{"", "type contact max_contacts remove_existing remove_unavailable default_expiration minimum_expiration maximum_expiration support_path " +
				"qualify_frequency qualify_timeout qualify_2xx_only"},
			{whyPBX, "mailboxes voicemail_extension"},
			{"has no counterpart: phones that ask who we are count as being there", "authenticate_qualify"},
			{whyPerAOR, "qualify_* outbound_proxy"},
		},
		"endpoint": {
			{"", "type aors auth transport outbound_auth identify_by callerid"},
			{whyNAT, "force_rport rewrite_contact"},
			{whyIdentity, "callerid_* trust_id_* trust_connected_line send_pai send_rpid rpid_immediate send_connected_line " +
				"send_diversion send_history_info connected_line_method from_user from_domain contact_user"},
			{whyMedia, "allow disallow rtp_* rtcp_* media_* sdp_* srtp_* dtls_* t38_* fax* codec_* preferred_codec_only incoming_*_codec_prefs " +
				"incoming_call_offer_pref outgoing_*_codec_prefs outgoing_call_offer_pref use_avpf force_avp use_ptime webrtc ice_support bundle " +
				"max_audio_streams max_video_streams direct_media* disable_direct_media_on_nat bind_rtp_to_media_address g726_non_standard " +
				"asymmetric_rtp_codec inband_progress dtmf_mode ignore_183_without_sdp tos_* cos_* follow_early_media_fork accept_multiple_sdp_answers"},
			{whyEndToEnd, "100rel timers timers_* suppress_q850_reason_headers user_eq_phone stir_shaken* geoloc_* security_*"},
			{whyPBX, "context language mailboxes mwi_* voicemail_extension aggregate_mwi call_group pickup_group named_* moh_* tone_zone accountcode " +
				"set_var allow_subscribe subscribe_context sub_min_expiry message_context device_state_busy_at allow_transfer allow_overlap overlap_context " +
				"one_touch_recording record_*_feature notify_early_inuse_ringing refer_blind_progress send_aoc tenantid"},
			{"has no counterpart: such lists are not kept for single users", "acl contact_acl deny permit contact_deny contact_permit"},
			{whyPerAOR, "outbound_proxy"},
		},
		"identify":     {{"", "type endpoint match"}},
		"registration": {{"", "type *"}},
		"domain_alias": {{"", "type domain"}},
		"acl":          {{"", "type acl deny permit contact_acl contactdeny contactpermit contact_deny contact_permit"}},
		"global": {
			{"", "type max_forwards default_realm"},
			{whyPBX, "default_voicemail_extension mwi_* taskprocessor_overload_trigger norefersub send_contact_status_on_update_registration"},
			{whyIdentity, "default_from_user default_outbound_endpoint"},
			{whySystem, "*"},
		},
		"system": {{"", "type"}, {whySystem, "*"}},
	}
}

// is reports whether an option belongs to the family.
func (f family) is(option string) bool {
	return slices.ContainsFunc(strings.Fields(f.names), func(name string) bool {
		prefix, wild := strings.CutSuffix(name, "*")
		return option == name || wild && strings.HasPrefix(option, prefix)
	})
}

// noteOptions notes the options of a section that are not taken over.
func noteOptions(s *Section, known []family, ns *notes) {
	for _, o := range s.Options {
		option := strings.ToLower(o.Name)
		i := slices.IndexFunc(known, func(f family) bool { return f.is(option) })
		switch {
		case i < 0:
			ns.option(o, whyUnknown, "")
		case known[i].why != "":
			ns.option(o, known[i].why, "")
		}
	}
}
