"""What is watched for: the rules, and the words for people who are woken by them.

Data alone: `observability.alerts` evaluates it, `tenants.actions.alerts` changes what people may
change. The same bounds stand in deploy/prometheus/rules.yaml, by `Rule.prometheus`; a test
compares them.
"""
