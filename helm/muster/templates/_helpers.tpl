{{- define "muster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "muster.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "muster.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select; never changed, or upgrades fail. */}}
{{- define "muster.selector" -}}
app.kubernetes.io/name: {{ include "muster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "muster.labels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* On pods: without the chart's version, so that a new chart alone restarts nobody. */}}
{{- define "muster.podLabels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "muster.image" -}}
{{- $repository := .Values.image.repository -}}
{{- with .Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* A value as text. Numbers of a values file are floats, which Go prints as 2e+06 from a million on. */}}
{{- define "muster.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* "yes" where Helm can ask a cluster: `helm template` and a dry run of the client cannot. */}}
{{- define "muster.asks" -}}
{{- if lookup "apps/v1" "Deployment" .Release.Namespace "" -}}yes{{- end -}}
{{- end -}}

{{/* First part of every key in Redis: two releases on one Redis are two fleets. */}}
{{- define "muster.storePrefix" -}}
{{- .Values.storePrefix | default (printf "%s-%s" .Release.Namespace .Release.Name) -}}
{{- end -}}

{{/* The Secret with the drivers' token that the chart made up, or nothing: somebody gave one. */}}
{{- define "muster.madeSecret" -}}
{{- if and .Values.dispatch.enabled (not .Values.secret.existing) (not .Values.secret.dispatchSecret) -}}
{{- printf "%s-dispatch" (include "muster.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "muster.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "muster.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "muster.secret" -}}
{{- default (include "muster.fullname" .) .Values.secret.existing -}}
{{- end -}}

{{- define "muster.variable" -}}
MUSTER_{{ . | upper | replace "-" "_" }}
{{- end -}}

{{/* The secret settings beside store and postgres, by their value's name. */}}
{{- define "muster.secretKeys" -}}
dispatchSecret: dispatch-secret
logsAddToken: logs-add-token
logsListenToken: logs-listen-token
chatJwtSecret: chat-jwt-secret
minigameToken: minigame-token
webhookToken: webhook-token
relaySecret: relay-secret
relayStatusToken: relay-status-token
statusToken: status-token
mirrorToken: mirror-token
{{- end -}}

{{/* Secret keys by their value's name, all of them. */}}
{{- define "muster.allSecretKeys" -}}
store: store
postgres: postgres
{{ include "muster.secretKeys" . }}
{{- end -}}

{{/* Keys that pods of a component read from files, as a list: of = names of settings, or name of the key. */}}
{{- define "muster.fileKeys" -}}
{{- $keys := list "store" -}}
{{- if has .component (list "sink" "test") -}}{{- $keys = append $keys "postgres" -}}{{- end -}}
{{- if ne .component "sink" -}}{{- $keys = concat $keys (values (include "muster.secretKeys" .root | fromYaml)) -}}{{- end -}}
{{- $files := list -}}
{{- range $keys | sortAlpha -}}
{{- if has . $.root.Values.secret.reload -}}{{- $files = append $files . -}}{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/* Settings that count at once when their file changes: they stand in a ConfigMap. Not where a file of your own has them. */}}
{{- define "muster.live" -}}
{{- $live := dict -}}
{{- if not (hasKey .Values.settings "config") -}}
{{- range $name := list "log-level" "log-format" -}}
{{- if hasKey $.Values.settings $name -}}{{- $_ := set $live $name (get $.Values.settings $name) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $live -}}
{{- end -}}

{{/* What has a value of its own must not come in by the side door. */}}
{{- define "muster.check" -}}
{{- $owned := list "http" "admin" "drain" "store" "postgres" "relay" "tracker" "dispatch-ports" "dispatch-bind" "dispatch-proxy" "store-prefix" "logs-sink" -}}
{{- $owned = concat $owned (values (include "muster.secretKeys" . | fromYaml)) -}}
{{- range $name, $value := .Values.settings -}}
{{- if has $name $owned -}}
{{- fail (printf "settings.%s: this one has a value of its own; see the chart's README" $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.settings.workers -}}
{{- if ne (toString .) "1" -}}
{{- fail "settings.workers: a pod is one node; probes, metrics and the autoscaler see one. More nodes: node.replicas" -}}
{{- end -}}
{{- end -}}
{{- if and (include "muster.madeSecret" .) (not (include "muster.asks" .)) -}}
{{- fail "secret.dispatchSecret: without a cluster to ask, each rendering would make up another token of drivers; set it, or use secret.existing, or dispatch.enabled=false" -}}
{{- end -}}
{{- $given := include "muster.allSecretKeys" . | fromYaml -}}
{{- range .Values.secret.reload -}}
{{- if not (has . (values $given)) -}}
{{- fail (printf "secret.reload: %s is no key of a setting; there are %s" . (values $given | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.secret.existing -}}
{{- range $value, $key := $given -}}
{{- if and (has $key $.Values.secret.reload) (not (get $.Values.secret $value)) -}}
{{- fail (printf "secret.reload: %s has no value in secret.%s, so there would be no file" $key $value) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.secret.store -}}
{{- fail "secret.store is needed: the URL of Redis, or secret.existing with the key store" -}}
{{- end -}}
{{- if and .Values.sink.enabled (not .Values.secret.postgres) -}}
{{- fail "secret.postgres is needed: a connection URI, or secret.existing with the key postgres, or sink.enabled=false" -}}
{{- end -}}
{{- if and .Values.sink.enabled .Values.migrate.enabled (ne .Values.migrate.postgresKey "postgres") (not .Values.migrate.postgres) -}}
{{- fail "migrate.postgres is needed beside migrate.postgresKey" -}}
{{- end -}}
{{- if hasPrefix "memory:" .Values.secret.store -}}
{{- fail "secret.store: nodes with memory: know nothing of each other; use Redis" -}}
{{- end -}}
{{- end -}}
{{- if .Values.dispatch.enabled -}}
{{- range $port := .Values.dispatch.ports -}}
{{- $kind := lower ($port.protocol | default "TCP") -}}
{{- $found := false -}}
{{- range $part := splitList "," (nospace $.Values.dispatch.range) -}}
{{- $ends := splitList "-" (trimPrefix (printf "%s:" $kind) $part) -}}
{{- if and (not (contains ":" (first $ends))) (ge (int $port.port) (int (first $ends))) (le (int $port.port) (int (last $ends))) -}}
{{- $found = true -}}
{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- fail (printf "dispatch.ports: %d (%s) is not in dispatch.range" (int $port.port) (upper $kind)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Settings and the store: what every verb gets. */}}
{{- define "muster.env" -}}
{{- include "muster.check" . -}}
{{- $live := include "muster.live" . | fromYaml }}
{{- range $name, $value := .Values.settings }}
{{- if not (hasKey $live $name) }}
- name: {{ include "muster.variable" $name }}
  value: {{ include "muster.text" $value | quote }}
{{- end }}
{{- end }}
{{- if $live }}
- name: MUSTER_CONFIG
  value: /etc/muster/live/muster.conf
{{- end }}
- name: MUSTER_STORE_PREFIX
  value: {{ include "muster.storePrefix" . | quote }}
{{- if not (hasKey .Values.settings "zone") }}
{{- /* Kubernetes 1.35 gives pods this label of their machine. Without it the variable is empty: no zone is told. */}}
- name: MUSTER_ZONE
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['topology.kubernetes.io/zone']
{{- end }}
{{- end -}}

{{/* A secret setting: of the Secret's key, or of the file that changes with it (files: keys that are read from files). */}}
{{- define "muster.envSecret" -}}
{{- if has (.from | default .key) (.files | default list) -}}
- name: {{ include "muster.variable" .key }}_FILE
  value: /etc/muster/secret/{{ .from | default .key }}
{{- else -}}
- name: {{ include "muster.variable" .key }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .from | default .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end -}}
{{- end -}}

{{- define "muster.nodeEnv" -}}
{{- $root := . -}}
{{- $secret := include "muster.secret" . -}}
{{ include "muster.env" . | trim }}
- name: MUSTER_HTTP
  value: {{ printf "%s:%d" .Values.listen (int .Values.ports.http) | quote }}
- name: MUSTER_ADMIN
  value: {{ printf "%s:%d" .Values.listen (int .Values.ports.admin) | quote }}
- name: MUSTER_DRAIN
  value: {{ printf "%ds" (int .Values.drain.seconds) | quote }}
- name: MUSTER_RELAY
  value: {{ include "muster.relay" . | quote }}
- name: MUSTER_TRACKER
  value: {{ if .Values.tracker.enabled }}{{ printf "%s:%d" .Values.listen (int .Values.tracker.port) | quote }}{{ else }}""{{ end }}
- name: MUSTER_DISPATCH_PORTS
  value: {{ if .Values.dispatch.enabled }}{{ .Values.dispatch.range | quote }}{{ else }}""{{ end }}
{{- if .Values.dispatch.enabled }}
- name: MUSTER_DISPATCH_BIND
  value: {{ .Values.listen | trimPrefix "[" | trimSuffix "]" | quote }}
{{- end }}
{{- if and .Values.dispatch.enabled .Values.dispatch.proxy }}
- name: MUSTER_DISPATCH_PROXY
  value: {{ join "," .Values.dispatch.proxy | quote }}
{{- end }}
{{- $files := include "muster.fileKeys" (dict "root" . "component" "node") | fromYamlArray }}
{{ include "muster.envSecret" (dict "key" "store" "secret" $secret "files" $files) }}
- name: MUSTER_LOGS_SINK
  value: {{ ternary "on" "off" .Values.sink.enabled | quote }}
{{- range $key := values (include "muster.secretKeys" . | fromYaml) | sortAlpha }}
{{- $from := $secret }}
{{- if and (eq $key "dispatch-secret") (include "muster.madeSecret" $root) }}{{ $from = include "muster.madeSecret" $root }}{{ end }}
{{ include "muster.envSecret" (dict "key" $key "secret" $from "optional" true "files" $files) }}
{{- end }}
{{- range include "muster.chatKeyList" . | fromYamlArray }}
- name: {{ ternary "MUSTER_CHAT_JWT_KEY" "MUSTER_CHAT_JWKS" (eq . "jwt.pem") }}
  value: /etc/muster/chat/{{ . }}
{{- end }}
{{- with concat .Values.extraEnv .Values.node.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The relay's listeners as the setting wants them; empty: off. */}}
{{- define "muster.relay" -}}
{{- $binds := list -}}
{{- if .Values.relay.enabled -}}
{{- range .Values.relay.networks -}}
{{- $bind := printf "%s:%d" $.Values.listen (int .port) -}}
{{- $binds = append $binds (ternary (printf "%s=%s" (.name | default "") $bind) $bind (not (empty .name))) -}}
{{- end -}}
{{- end -}}
{{- join "," $binds -}}
{{- end -}}

{{- define "muster.relayPortName" -}}
{{- if .name }}{{ printf "r-%d" (int .port) }}{{ else }}relay{{ end -}}
{{- end -}}

{{/* Which files with keys of access tokens there are. */}}
{{- define "muster.chatKeyList" -}}
{{- $keys := list -}}
{{- if .Values.chatKeys.existing -}}
{{- $keys = .Values.chatKeys.existingKeys -}}
{{- else -}}
{{- if .Values.chatKeys.pem }}{{- $keys = append $keys "jwt.pem" -}}{{- end -}}
{{- if .Values.chatKeys.jwks }}{{- $keys = append $keys "jwks.json" -}}{{- end -}}
{{- end -}}
{{- toYaml $keys -}}
{{- end -}}

{{/* A container's mounts: root, component, and own, those of its values. */}}
{{- define "muster.mounts" -}}
{{- $mounts := list -}}
{{- if and (ne .component "sink") (include "muster.chatKeyList" .root | fromYamlArray) -}}
{{- $mounts = append $mounts (dict "name" "chat-keys" "mountPath" "/etc/muster/chat" "readOnly" true) -}}
{{- end -}}
{{- if include "muster.live" .root | fromYaml -}}
{{- $mounts = append $mounts (dict "name" "live" "mountPath" "/etc/muster/live" "readOnly" true) -}}
{{- end -}}
{{- if include "muster.fileKeys" . | fromYamlArray -}}
{{- $mounts = append $mounts (dict "name" "secret" "mountPath" "/etc/muster/secret" "readOnly" true) -}}
{{- end -}}
{{- with concat $mounts .root.Values.extraVolumeMounts .own -}}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* A pod's volumes: as above. */}}
{{- define "muster.volumes" -}}
{{- $name := include "muster.fullname" .root -}}
{{- $volumes := list -}}
{{- if and (ne .component "sink") (include "muster.chatKeyList" .root | fromYamlArray) -}}
{{- $keys := .root.Values.chatKeys -}}
{{- $from := dict "configMap" (dict "name" ($keys.existing | default (printf "%s-chat-keys" $name))) -}}
{{- if and $keys.existing (eq $keys.existingKind "Secret") -}}
{{- $from = dict "secret" (dict "secretName" $keys.existing) -}}
{{- end -}}
{{- $volumes = append $volumes (merge (dict "name" "chat-keys") $from) -}}
{{- end -}}
{{- if include "muster.live" .root | fromYaml -}}
{{- $volumes = append $volumes (dict "name" "live" "configMap" (dict "name" (printf "%s-live" $name))) -}}
{{- end -}}
{{- with include "muster.fileKeys" . | fromYamlArray -}}
{{- $items := list -}}
{{- range . -}}{{- $items = append $items (dict "key" . "path" .) -}}{{- end -}}
{{- $volumes = append $volumes (dict "name" "secret" "secret" (dict "secretName" (include "muster.secret" $.root) "items" $items)) -}}
{{- end -}}
{{- with concat $volumes .root.Values.extraVolumes .own -}}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Changes with the secrets that are read at the start only. */}}
{{- define "muster.secretSum" -}}
{{- $secret := deepCopy .Values.secret -}}
{{- range $value, $key := include "muster.allSecretKeys" . | fromYaml -}}
{{- if has $key $.Values.secret.reload -}}{{- $_ := unset $secret $value -}}{{- end -}}
{{- end -}}
{{- list $secret .Values.migrate.postgres | toJson | sha256sum -}}
{{- end -}}

{{- define "muster.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where pods go: of = the values of node or sink, component = its label. */}}
{{- define "muster.placement" -}}
{{- $labels := printf "%s\napp.kubernetes.io/component: %s" (include "muster.selector" .root) .component | fromYaml -}}
{{- with .of.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := .of.tolerations }}
{{- if not (kindIs "invalid" .of.unreachableSeconds) }}
{{- range $taint := list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
{{- $tolerations = append $tolerations (dict "key" $taint "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" (int $.of.unreachableSeconds)) }}
{{- end }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy .of.affinity }}
{{- if and .of.zoneSpread (not (hasKey $affinity "podAntiAffinity")) }}
{{- $term := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" $labels) }}
{{- $one := dict "weight" 50 "podAffinityTerm" $term }}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $one)) }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .of.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .of.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .of.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - labelSelector:
      matchLabels:
        {{- toYaml $labels | nindent 8 }}
    # Counted among pods of one version: else those that are about to end push the new ones onto one machine.
    matchLabelKeys: [pod-template-hash]
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "muster.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  {{- toYaml .Values.probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
{{- end -}}

{{/* What the Services for clients have in common: service = their values. */}}
{{- define "muster.serviceSpec" -}}
type: {{ .service.type }}
{{- with .root.Values.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- if has .service.type (list "NodePort" "LoadBalancer") }}
externalTrafficPolicy: {{ .service.externalTrafficPolicy }}
{{- end }}
{{- with .service.clusterIP }}
clusterIP: {{ . }}
{{- end }}
{{- with .service.externalIPs }}
externalIPs:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq .service.type "LoadBalancer" }}
{{- with .service.loadBalancerIP }}
loadBalancerIP: {{ . }}
{{- end }}
{{- with .service.loadBalancerClass }}
loadBalancerClass: {{ . }}
{{- end }}
{{- with .service.loadBalancerSourceRanges }}
loadBalancerSourceRanges:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
selector:
  {{- include "muster.selector" .root | nindent 2 }}
  app.kubernetes.io/component: node
{{- end -}}

{{/* Labels and annotations of a Service for clients: service = its values. */}}
{{- define "muster.serviceLabels" -}}
{{ include "muster.labels" .root }}
app.kubernetes.io/component: node
{{- with .service.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who may ask the admin port. */}}
{{- define "muster.metricsFrom" -}}
- from:
    {{- range .Values.networkPolicy.metricsNamespaces }}
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ . }}}
    {{- end }}
    {{- if .Values.networkPolicy.metrics }}
    {{- toYaml .Values.networkPolicy.metrics | nindent 4 }}
    {{- else }}
    - podSelector: {}
    {{- end }}
  ports:
    - {port: metrics, protocol: TCP}
{{- end -}}

{{- define "muster.egressTo" -}}
- ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .peers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* What pods may reach: root, and component, by which PostgreSQL is for those only that speak to it. */}}
{{- define "muster.egress" -}}
{{- $egress := .root.Values.networkPolicy.egress -}}
egress:
  - ports:
      {{- range $egress.dnsPorts }}
      - {port: {{ . }}, protocol: UDP}
      - {port: {{ . }}, protocol: TCP}
      {{- end }}
    {{- with $egress.dns }}
    to:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- include "muster.egressTo" (dict "ports" $egress.storePorts "peers" $egress.store) | nindent 2 }}
  {{- if ne .component "node" }}
  {{- include "muster.egressTo" (dict "ports" $egress.postgresPorts "peers" $egress.postgres) | nindent 2 }}
  {{- end }}
  {{- if eq .component "test" }}
  - ports:
      - {port: http, protocol: TCP}
    to:
      - podSelector:
          matchLabels:
            {{- include "muster.selector" .root | nindent 12 }}
            app.kubernetes.io/component: node
  {{- end }}
  {{- with $egress.extra }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
