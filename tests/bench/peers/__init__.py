"""Programs that do a part of the processor's work with other means, each as its own documentation advises.

They run in an environment of their own (``make peers``), so nothing here imports anything of ours but this folder.
All read the same Avro records of the same topic and write one JSON record per input: for the card of the record, count
and sum of three windows. That is one entity of our five and 6 features of our 96; none looks for duplicates, keeps a
dead letter queue, or can be asked for its state from outside (Redis per event excepted).
"""
