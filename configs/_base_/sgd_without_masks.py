# Fine-tuning where annotations are boxes alone. The file names of the public
# configs say SGD and the learning rate; momentum and weight decay are those
# of mmyolo's YOLOv8, whose pipelines without masks have this min_area_ratio.
sgd = dict(
    base_lr=1e-3,
    weight_decay=5e-4,  # at 64 images a step, see the optimizer constructor
    min_area_ratio=0.1,
    optim_wrapper=dict(
        optimizer=dict(
            _delete_=True,
            type='SGD',
            lr=1e-3,
            momentum=0.937,
            weight_decay=5e-4,
            nesterov=True,
            batch_size_per_gpu=16)))
