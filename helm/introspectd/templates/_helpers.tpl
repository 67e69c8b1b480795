{{- define "introspectd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "introspectd.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "introspectd.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "introspectd.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "introspectd.selector" -}}
app.kubernetes.io/name: {{ include "introspectd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "introspectd.labels" -}}
{{ include "introspectd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "introspectd.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "introspectd.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "introspectd.image" -}}
{{- $name := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $name = printf "%s/%s" . $name }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $name .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "introspectd.adminScheme" -}}
{{- ternary "https" "http" (not (empty .Values.tls.admin.existingSecret)) }}
{{- end }}

{{/* Where Secrets are mounted. Files, not variables: those show up in more places, and cannot be replaced. */}}
{{- define "introspectd.secrets" -}}
/run/secrets/introspectd
{{- end }}

{{/* A duration of the configuration in whole seconds, rounded up. */}}
{{- define "introspectd.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "d" }}{{ mul $number 86400 }}
{{- else if eq $unit "h" }}{{ mul $number 3600 }}
{{- else if eq $unit "m" }}{{ mul $number 60 }}
{{- else if eq $unit "s" }}{{ $number }}
{{- else if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else if eq $unit "us" }}{{ div (add $number 999999) 1000000 }}
{{- else }}{{ fail (printf "config.drain.max: %s needs a unit: us, ms, s, m, h or d" .) }}
{{- end }}
{{- end }}

{{/* What would only fail once it runs is said before it is installed. */}}
{{- define "introspectd.check" -}}
{{- if not (or .Values.redis.url .Values.redis.existingSecret) }}
{{- fail "redis.url or redis.existingSecret must be set: the nodes keep nothing of their own" }}
{{- end }}
{{- if and .Values.redis.url .Values.redis.existingSecret }}
{{- fail "redis.url and redis.existingSecret exclude each other" }}
{{- end }}
{{- if not .Values.keys.existingSecret }}
{{- fail "keys.existingSecret must be set: every node needs the same keys" }}
{{- end }}
{{- if not (or .Values.adminInsecure .Values.tls.admin.existingSecret) }}
{{- fail "the admin listener needs tls.admin.existingSecret, or adminInsecure" }}
{{- end }}
{{- $drain := dig "drain" "max" "30s" .Values.config | include "introspectd.seconds" | int }}
{{- if le (int .Values.terminationGracePeriodSeconds) $drain }}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be longer than config.drain.max (%d s)" (int .Values.terminationGracePeriodSeconds) $drain) }}
{{- end }}
{{- end }}

{{/* The configuration file: `config`, and what the chart knows better. */}}
{{- define "introspectd.config" -}}
{{- $secrets := include "introspectd.secrets" . }}
{{- $public := dict "address" (printf "0.0.0.0:%d" (int .Values.ports.public)) }}
{{- if .Values.tls.public.existingSecret }}
{{- $_ := set $public "tls_certificate_file" (printf "%s/tls-public/tls.crt" $secrets) }}
{{- $_ := set $public "tls_key_file" (printf "%s/tls-public/tls.key" $secrets) }}
{{- end }}
{{- $admin := dict "address" (printf "0.0.0.0:%d" (int .Values.ports.admin)) }}
{{- if .Values.tls.admin.existingSecret }}
{{- $_ := set $admin "tls_certificate_file" (printf "%s/tls-admin/tls.crt" $secrets) }}
{{- $_ := set $admin "tls_key_file" (printf "%s/tls-admin/tls.key" $secrets) }}
{{- else }}
{{- $_ := set $admin "insecure" .Values.adminInsecure }}
{{- end }}
{{- $redis := dict }}
{{- if .Values.redis.existingSecret }}
{{- $_ := set $redis "url_file" (printf "%s/redis/url" $secrets) }}
{{- else }}
{{- $_ := set $redis "url" .Values.redis.url }}
{{- end }}
{{- if .Values.redis.caExistingSecret }}
{{- $_ := set $redis "ca_file" (printf "%s/redis-ca/ca.crt" $secrets) }}
{{- end }}
{{- $digest := list }}
{{- range .Values.keys.digest }}
{{- $digest = append $digest (dict "id" .id "secret_file" (printf "%s/keys/%s" $secrets .id)) }}
{{- end }}
{{- $keys := dict "digest" $digest }}
{{- with .Values.keys.active }}
{{- $_ := set $keys "active" . }}
{{- end }}
{{- $own := dict "public" $public "admin" $admin "redis" $redis "keys" $keys }}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}
