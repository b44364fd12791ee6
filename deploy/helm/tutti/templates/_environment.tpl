{{/* The settings of every pod, by the names in .env.example. */}}
{{- define "tutti.environment" -}}
- name: AGENT_ORCHESTRATOR_HOST
  value: "0.0.0.0"
- name: AGENT_ORCHESTRATOR_PORT
  value: "8000"
- name: TUTTI_DATA
  value: /data
- name: TUTTI_HOSTS
  value: {{ include "tutti.hosts" . | quote }}
# Named by themselves: without them no pod starts, instead of each with keys of its own.
- name: TUTTI_ADMIN_KEY
  valueFrom:
    secretKeyRef:
      name: {{ required "existingSecret must name a Secret with TUTTI_ADMIN_KEY, VAULT_KEY and POSTGRES_PASSWORD" .Values.existingSecret | quote }}
      key: TUTTI_ADMIN_KEY
- name: VAULT_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret | quote }}
      key: VAULT_KEY
- name: POSTGRES_HOST
  value: {{ required "postgres.host must name the PostgreSQL that all pods share" .Values.postgres.host | quote }}
- name: POSTGRES_PORT
  value: {{ .Values.postgres.port | quote }}
- name: POSTGRES_DB
  value: {{ .Values.postgres.database | quote }}
- name: POSTGRES_USER
  value: {{ .Values.postgres.user | quote }}
{{- if .Values.rabbitmq.host }}
- name: RABBITMQ_HOST
  value: {{ .Values.rabbitmq.host | quote }}
- name: RABBITMQ_PORT
  value: {{ .Values.rabbitmq.port | quote }}
- name: RABBITMQ_USER
  value: {{ .Values.rabbitmq.user | quote }}
{{- end }}
{{- if .Values.redis.host }}
- name: REDIS_HOST
  value: {{ .Values.redis.host | quote }}
- name: REDIS_PORT
  value: {{ .Values.redis.port | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}
