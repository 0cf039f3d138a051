package bus

import "github.com/nats-io/nats-server/v2/server"

// publicPermissions is what anybody on loopback may do without a login: start
// runs, ask, watch and read. Everything else is denied, explicitly: a user
// with an empty list could publish anything, forge results and flow versions
// among it.
func publicPermissions() *server.Permissions {
	publish := []string{
		subjectTrigger + "*",
		apiPrefix + ".run.>", apiPrefix + ".flow.>", apiPrefix + ".xcom.>", apiPrefix + ".query", apiPrefix + ".node.>",
		"$SRV.>",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
	}
	for _, stream := range []string{StreamEvents, "KV_qarion_xcom", "KV_qarion_runs"} {
		publish = append(publish,
			"$JS.API.STREAM.INFO."+stream,
			"$JS.API.STREAM.MSG.GET."+stream,
			"$JS.API.DIRECT.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>",
			"$JS.API.CONSUMER.CREATE."+stream, "$JS.API.CONSUMER.CREATE."+stream+".>",
			"$JS.API.CONSUMER.INFO."+stream+".>", "$JS.API.CONSUMER.LIST."+stream, "$JS.API.CONSUMER.NAMES."+stream,
			"$JS.API.CONSUMER.MSG.NEXT."+stream+".>", "$JS.API.CONSUMER.DELETE."+stream+".>",
			"$JS.ACK."+stream+".>", "$JS.FC."+stream+".>",
		)
	}
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{
			Allow: []string{"_INBOX.>", SubjectLog + ">", SubjectEvent + ">", "$SRV.>"},
		},
	}
}
